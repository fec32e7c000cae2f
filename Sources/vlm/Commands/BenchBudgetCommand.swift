import ArgumentParser
import Foundation
import LanguageDecoder
import LLaVAPipeline
import Tensors
import Training
import VisionEncoder

/// `vlm bench budget`: how well the time to the first token is predicted.
struct BenchBudgetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "budget",
        abstract: "Compare predicted with actual times to the first token; print JSON.",
        discussion: """
            Asks questions about scenes that are drawn for it, as ask --budget does: times for numbers of visual tokens
            all over 1...M, questions of different lengths. median_error is the median of |predicted - actual| / actual of
            the time to the first token; rest_error the same without what was spent before the number of tokens was chosen.

            EXAMPLES
              vlm bench budget --model DIR --asks 100
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var products: ProductOptions

    @Option(help: ArgumentHelp("Questions to ask.", valueName: "n"))
    var asks = 100

    func validate() throws {
        guard asks >= 1 else { throw ValidationError("--asks \(asks): at least 1") }
    }

    private struct Report: Encodable {
        var model: String
        var threads: Int
        var kernels: String
        var asks: Int
        var measuringSeconds: Double
        var medianError: Double
        var ninetiethError: Double
        var medianRestError: Double
        /// Share of answers whose first token came in the time that was asked for.
        var inTime: Double
        var visualTokens: [Int]
    }

    func run() throws {
        try products.context(model).run {
            let assistant = try Assistant(LLaVAModel.load(from: model.path(), options: model.loadOptions))
            let clock = ContinuousClock()
            let start = clock.now
            let cost = try KnownCosts().cost(of: assistant.model, model, measuringAnew: true)
            let measuring = clock.now - start
            let maximum = assistant.model.maximumVisualTokens ?? 1
            let scenes = ScenesDataset(
                split: .test, count: asks, seed: 0, questionsPerScene: 1,
                side: assistant.model.vision?.imageProcessor.cropSize.width ?? 128)
            var errors: [Double] = []
            var restErrors: [Double] = []
            var chosen: [Int] = []
            var inTime = 0
            for index in 0..<asks {
                let example = scenes.example(at: index)
                guard let picture = try example.image?.decoded(), let question = example.turns.first?.question else {
                    continue
                }
                var timings = StageTimings()
                let ids = try assistant.ids(
                    of: assistant.conversation(
                        asking: Array(repeating: question, count: 1 + index % 3).joined(separator: " "), images: 1))
                let processed = try timings.measure(\.preprocess) { try assistant.model.process(picture) }
                let features = try timings.measure(\.encode) { try assistant.model.encode(processed) }
                let spent = timings.timeToFirstToken
                // Numbers of tokens spread over 1...M; the next one would take too long.
                let wanted = 1 + index * 37 % maximum
                let rest = cost.seconds(visualTokens: wanted * features.tensor.shape[0], textTokens: ids.count - 1)
                let budget = TimeBudget(spent + .seconds(rest * 1.0001))
                let chooser = BudgetChooser(model: assistant.model, cost: cost, budget: budget)
                var report = try chooser.choose(
                    views: features.tensor.shape[0], fixedTokens: 0, textTokens: ids.count - 1, spent: timings)
                let visual = try timings.measure(\.queryTransformer) {
                    try assistant.model.visualTokens(
                        from: features, budget: assistant.model.budget(report.visualTokens))
                }
                let prompt = try assistant.model.prompt(ids, images: [visual])
                try timings.measure(\.prefill) {
                    var generation = try Generation(
                        assistant.model.decoder, prompt, sampling: SamplingOptions(), maximumTokens: 1, endTokens: [])
                    _ = generation.next()
                }
                report.finish(timings)
                let actual = timings.timeToFirstToken
                errors.append(abs(report.error ?? 0))
                let taken = (actual - spent).milliseconds
                restErrors.append(abs(report.predictedMilliseconds - spent.milliseconds - taken) / taken)
                chosen.append(report.visualTokens)
                if actual <= budget.duration { inTime += 1 }
            }
            let context = ComputeContext.current
            try Terminal.json(
                Report(
                    model: assistant.model.path, threads: context.pool.threadCount, kernels: context.kernels.name,
                    asks: errors.count, measuringSeconds: measuring.milliseconds / 1000,
                    medianError: errors.quantile(0.5), ninetiethError: errors.quantile(0.9),
                    medianRestError: restErrors.quantile(0.5), inTime: Double(inTime) / Double(max(1, errors.count)),
                    visualTokens: chosen))
        }
    }
}

extension [Double] {
    /// The value below which this share of the values lies.
    fileprivate func quantile(_ share: Double) -> Double {
        isEmpty ? 0 : sorted()[Swift.min(count - 1, Int(share * Double(count)))]
    }
}
