import ArgumentParser
import Foundation
import LLaVAPipeline
import MQT
import ModelFiles
import Tensors

/// How long the first token may take.
struct TimeBudgetOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Take the most visual tokens whose first word is predicted to come in this time, for example 800ms or 2s.",
            discussion:
                "From the image files on, without loading the model. What tokens cost is measured once for a model on this machine, and kept in ~/.cache/vlm.",
            valueName: "duration"))
    var budget: TimeBudget?

    /// Throws if there is nothing that the time could decide.
    func checkUse(by images: ImageOptions, _ arguments: [ImageArgument]) throws {
        guard let budget else { return }
        if let visualTokens = images.visualTokens {
            throw ValidationError("--budget \(budget) chooses what --visual-tokens \(visualTokens) says; leave one out")
        }
        guard arguments.contains(where: { $0.visualTokens == nil }) else {
            throw ValidationError(
                arguments.isEmpty
                    ? "--budget \(budget) is about images, and there is none; add --image PATH"
                    : "--budget \(budget) changes nothing: every image has a number of its own (PATH@m)")
        }
    }
}

/// A time that a person wrote: "800ms", "2s", "1.5s".
struct TimeBudget: ExpressibleByArgument, CustomStringConvertible {
    /// The time.
    let duration: Duration
    /// As it was written.
    let description: String

    init?(argument: String) {
        let text = argument.lowercased()
        let (digits, unit) = text.hasSuffix("ms") ? (text.dropLast(2), 0.001) : (text.dropLast(1), 1)
        guard text.hasSuffix("s"), digits.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }),
            let number = Double(digits), number > 0, number * unit <= 86_400
        else { return nil }
        duration = .seconds(number * unit)
        description = argument
    }

    /// A time that nobody wrote.
    init(_ duration: Duration) {
        self.duration = duration
        description = "\(Int(duration.milliseconds))ms"
    }
}

/// The number of visual tokens that was chosen for a time, and how well that went.
struct BudgetReport: Encodable {
    var requestedMilliseconds: Double
    var visualTokens: Int
    /// Predicted time to the first token, once the images were encoded.
    var predictedMilliseconds: Double
    var actualMilliseconds: Double?
    /// (predicted - actual) / actual.
    var error: Double?

    mutating func finish(_ timings: StageTimings) {
        let actual = timings.timeToFirstToken.milliseconds
        actualMilliseconds = actual
        error = (predictedMilliseconds - actual) / actual
    }
}

/// Chooses numbers of visual tokens for a time.
struct BudgetChooser {
    let model: LLaVAModel
    let cost: FirstTokenCost
    let budget: TimeBudget

    /// A chooser by a known cost.
    init(model: LLaVAModel, cost: FirstTokenCost, budget: TimeBudget) {
        self.model = model
        self.cost = cost
        self.budget = budget
    }

    /// A chooser for a model that was loaded by some options, whose cost is known or measured now.
    init(_ budget: TimeBudget, _ model: LLaVAModel, _ options: ModelOptions) throws {
        self.model = model
        self.budget = budget
        cost = try KnownCosts().cost(of: model, options)
    }

    /// The choice for images that are encoded already.
    /// - Parameters:
    ///   - views: views of the images whose number of tokens is to be chosen.
    ///   - fixedTokens: visual tokens of the others.
    ///   - timings: what has been spent.
    func choose(
        views: Int, fixedTokens: Int, textTokens: Int, spent timings: StageTimings
    ) throws -> BudgetReport {
        let spent = timings.timeToFirstToken.milliseconds
        let maximum = model.maximumVisualTokens ?? 1
        func predicted(_ tokens: Int) -> Double {
            spent + 1000 * cost.seconds(visualTokens: fixedTokens + views * tokens, textTokens: textTokens)
        }
        let chosen = cost.largestBudget(
            within: (budget.duration.milliseconds - spent) / 1000, maximum: maximum, views: views,
            fixedTokens: fixedTokens, textTokens: textTokens)
        guard let chosen else {
            throw UsageError.message(
                "--budget \(budget): the first word is predicted after \(Int(predicted(1).rounded(.up))) ms even with 1 visual token, \(Int(spent.rounded())) ms of which went into seeing; allow more time"
            )
        }
        return BudgetReport(
            requestedMilliseconds: budget.duration.milliseconds, visualTokens: chosen,
            predictedMilliseconds: predicted(chosen))
    }
}

/// What visual tokens cost with the models that were measured, by everything that the cost depends on.
struct KnownCosts {
    private let file = UserCacheFile("first-token-costs.json")

    /// The cost of a model in the current context: known, or measured and kept.
    func cost(of model: LLaVAModel, _ options: ModelOptions, measuringAnew: Bool = false) throws -> FirstTokenCost {
        guard model.maximumVisualTokens != nil else { throw VisualTokenBudgetError.notElastic(model: model.path) }
        let key = try key(of: model, options)
        var known = file.read([String: FirstTokenCost].self) ?? [:]
        if !measuringAnew, let cost = known[key], !cost.samples.isEmpty { return cost }
        Terminal.note("measuring what visual tokens cost with \(model.path) on this machine, once")
        let cost = try FirstTokenCost.measured(model)
        known[key] = cost
        file.write(known)
        return cost
    }

    /// The model's files with their sizes and times, the options it was loaded by, and where it computes.
    private func key(of model: LLaVAModel, _ options: ModelOptions) throws -> String {
        let context = ComputeContext.current
        var words = [
            "threads \(context.pool.threadCount)", context.kernels.name, context.quantizedProducts.rawValue,
            "cpus \(ProcessInfo.processInfo.processorCount)",
        ]
        words += options.overrides.map { "set " + $0 } + ["quantize \(options.quantize ?? "none")"]
        for path in [model.path, options.visionTower, options.adapter, options.lora].compactMap({ $0 }) {
            words.append(URL(filePath: path).standardizedFileURL.path)
            words += Self.files(at: path)
        }
        let digest = SHA256()
        digest.update(words.joined(separator: "\n"))
        return digest.hexadecimal()
    }

    private static func files(at path: String) -> [String] {
        let manager = FileManager.default
        let names = [""] + ((try? manager.subpathsOfDirectory(atPath: path)) ?? []).sorted()
        return names.compactMap { name in
            guard let attributes = try? manager.attributesOfItem(atPath: name.isEmpty ? path : path + "/" + name),
                attributes[.type] as? FileAttributeType != .typeDirectory
            else { return nil }
            let modified = (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
            return "\(name) \(attributes[.size] ?? 0) \(modified)"
        }
    }
}
