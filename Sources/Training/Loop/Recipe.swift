import Bytes
import Foundation
import ModelFiles

/// What to train, on what, and how: the file that `vlm train --recipe` reads.
///
/// Keys are spelled in snake case; one that is not known is an error, so that a typing mistake does not train another
/// model than was meant. A recipe may name another one in its directory as its `base`, whose values it takes for every key
/// that it does not hold itself: what is compared then differs in nothing else.
public struct Recipe: Sendable, Equatable, Codable {
    /// A line for a person.
    public var description: String?
    /// What is learned; `answers` where the file does not say.
    public var stage: Stage?
    /// Where training begins: the path of a model, or of a tower for `dense_labels`, relative to the recipe.
    public var model: String
    /// A vision tower in place of the model's own, relative to the recipe.
    public var visionTower: String?
    /// How conversations are written out, for a model that does not say it itself.
    public var template: String?
    /// What is learned from, each in its share of the examples.
    public var data: [DataSource]
    /// What is scored during training; never trained on.
    public var validation: [DataSource]?
    /// Patterns of the names of weights that are trained, in which `*` stands for any characters.
    public var trainable: [String]
    /// Maps of low rank that are trained beside frozen ones.
    public var lora: LoRASettings?
    /// How the number of visual tokens of a batch is drawn: `first_stage` (always M), `second_stage` (even numbers up to
    /// M, as likely as each other), `uniform`, `powers_of_two`, or a number. A list of numbers draws nothing: every batch
    /// is learned at each of them, and their losses count alike, as in Matryoshka representations (arXiv 2205.13147).
    public var visualTokens: BudgetSampling?
    /// Optimiser steps.
    public var steps: Int
    /// Examples of a step.
    public var batch: Int
    /// Batches whose gradients are gathered for a step; 1 where the file does not say.
    public var accumulate: Int?
    /// Whether an example's caption is learned as well.
    public var captions: Bool?
    /// How weights change.
    public var optimizer: OptimizerSettings
    /// Whether layers are computed again on the way back instead of keeping their intermediates.
    public var gradientCheckpointing: Bool?
    /// Steps between checkpoints.
    public var checkpointEvery: Int
    /// Steps between scores on the validation data; nil for at the end only.
    public var evaluateEvery: Int?
    /// Start of every random choice.
    public var seed: UInt64

    /// What a run learns.
    public enum Stage: String, Sendable, Codable, CaseIterable {
        /// To answer questions; the tower is frozen.
        case answers
        /// To tell what is seen in every cell of a picture: the tower alone.
        case denseLabels = "dense_labels"
    }

    /// A data set and its share.
    public struct DataSource: Sendable, Equatable, Codable {
        /// `scenes`, `fashion`, `easy-vqa`, or the path of a LLaVA or question/answer file, relative to the recipe.
        public var set: String
        /// Which part of a set that has several.
        public var split: DataSplit?
        /// Where a set lies that is fetched, or the pictures of a file.
        public var directory: String?
        /// How many examples; needed by sets that are drawn.
        public var count: Int?
        /// Share of the examples in relation to the other sources; 1 where the file does not say.
        public var weight: Double?
        /// Start of the random choices of a set that is drawn.
        public var seed: UInt64?
        /// The most questions for a picture that is drawn.
        public var questions: Int?
        /// The kinds of questions about scenes, where not all are wanted.
        public var kinds: [String]?

        /// A source of that name with nothing else said about it.
        public init(set: String) { self.set = set }
    }

    /// LoRA (arXiv 2106.09685): y = x wᵀ + α/r · (x aᵀ) bᵀ with w frozen.
    public struct LoRASettings: Sendable, Equatable, Codable {
        /// r.
        public var rank: Int
        /// α.
        public var alpha: Double
        /// Patterns of the names of the weights that get an adapter.
        public var targets: [String]

        /// Whether a weight of this name gets an adapter.
        func adapts(_ name: String) -> Bool { targets.contains { Recipe.matches(name[...], $0[...]) } }
    }

    /// The optimiser and its schedule.
    public struct OptimizerSettings: Sendable, Equatable, Codable {
        /// Highest learning rate.
        public var learningRate: Double
        /// Steps over which the rate rises from 0.
        public var warmupSteps: Int?
        /// Where the cosine ends, as a share of the highest rate; 0 where the file does not say.
        public var finalRateRatio: Double?
        /// Decay of matrices; vectors never decay.
        public var weightDecay: Double?
        /// Weight of the running mean of gradients; 0.9 where the file does not say.
        public var beta1: Double?
        /// Weight of the running mean of their squares; 0.999 where the file does not say.
        public var beta2: Double?
        /// The norm that longer gradients are scaled down to; nil for none.
        public var clipNorm: Double?
    }

    /// The distribution that a batch's numbers of visual tokens are drawn from.
    public enum BudgetSampling: Sendable, Equatable, Codable {
        case firstStage, secondStage, uniform, powersOfTwo
        case fixed(Int)
        /// Every batch at each of these; one that is named several times weighs as much more.
        case each([Int])

        private static let names: [(String, BudgetSampling)] = [
            ("first_stage", .firstStage), ("second_stage", .secondStage), ("uniform", .uniform),
            ("powers_of_two", .powersOfTwo),
        ]

        /// Reads a word, a number or a list of numbers.
        public init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let number = try? container.decode(Int.self), number > 0 {
                self = .fixed(number)
                return
            }
            if let numbers = try? container.decode([Int].self), numbers.min() ?? 0 > 0 {
                self = .each(numbers)
                return
            }
            let word = try? container.decode(String.self)
            guard let known = Self.names.first(where: { $0.0 == word })?.1 else {
                throw DecodingError.dataCorruptedError(
                    in: container,
                    debugDescription:
                        "a number above 0, a list of such, or one of \(Self.names.map(\.0).joined(separator: ", "))"
                )
            }
            self = known
        }

        /// Writes the word, the number or the list.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .fixed(let number): try container.encode(number)
            case .each(let numbers): try container.encode(numbers)
            default: try container.encode(Self.names.first { $0.1 == self }?.0 ?? "")
            }
        }

        /// The numbers of 1...`maximum` that a batch is learned at.
        func draw(maximum: Int, _ random: inout SplitMix64) -> [Int] {
            switch self {
            case .firstStage: [maximum]
            case .secondStage: [maximum < 2 ? 1 : 2 * random.value(in: 1...maximum / 2)]
            case .uniform: [random.value(in: 1...maximum)]
            case .powersOfTwo: [1 << random.below(maximum.bitWidth - maximum.leadingZeroBitCount)]
            case .fixed(let number): [number]
            case .each(let numbers): numbers
            }
        }

        /// The numbers that the recipe names itself, which a model has to be able to honour.
        var named: [Int] {
            switch self {
            case .fixed(let number): [number]
            case .each(let numbers): numbers
            default: []
            }
        }
    }
}

extension Recipe {
    /// Reads a recipe.
    /// - Throws: `CheckpointError` for a file that cannot be read or decoded, `RecipeError` for a key that is not known
    ///   and for values that make no sense.
    public init(contentsOf path: String) throws {
        let text = try Self.text(of: path)
        let value = try JSONValue(parsing: [UInt8](text), source: path)
        self = try JSONFile.decode(Recipe.self, from: text, file: path)
        try Self.checkKeys(value, known: Self.keys, file: path)
        let limits = [
            ("steps", steps, 1), ("batch", batch, 1), ("checkpoint_every", checkpointEvery, 1),
            ("accumulate", accumulate ?? 1, 1), ("evaluate_every", evaluateEvery ?? 1, 1),
            ("optimizer.warmup_steps", optimizer.warmupSteps ?? 0, 0),
        ]
        for (key, number, least) in limits where number < least {
            throw RecipeError.invalid(file: path, key: key, expected: "\(least) or more", got: "\(number)")
        }
        let numbers = [
            ("optimizer.learning_rate", optimizer.learningRate), ("optimizer.weight_decay", optimizer.weightDecay ?? 0),
            ("optimizer.final_rate_ratio", optimizer.finalRateRatio ?? 0),
            ("optimizer.clip_norm", optimizer.clipNorm ?? 1),
        ]
        for (key, number) in numbers where !(number >= 0 && number.isFinite) {
            throw RecipeError.invalid(file: path, key: key, expected: "a number of 0 or more", got: "\(number)")
        }
        guard !data.isEmpty, !trainable.isEmpty || lora != nil else {
            throw RecipeError.invalid(
                file: path, key: data.isEmpty ? "data" : "trainable", expected: "at least one entry", got: "none")
        }
        if let lora, !((1...4096).contains(lora.rank) && lora.alpha.isFinite && lora.alpha > 0) {
            throw RecipeError.invalid(
                file: path, key: "lora", expected: "a rank of 1...4096 and an alpha above 0",
                got: "\(lora.rank) and \(lora.alpha)")
        }
        if stage == .denseLabels, lora != nil || visionTower != nil || captions != nil || visualTokens != nil {
            throw RecipeError.invalid(
                file: path, key: "stage", expected: "answers, beside lora, vision_tower, captions or visual_tokens",
                got: "dense_labels")
        }
        for source in data + (validation ?? []) where !((source.weight ?? 1) > 0) {
            throw RecipeError.invalid(
                file: path, key: "data.weight", expected: "a number above 0", got: "\(source.weight ?? 0)")
        }
    }

    /// The text of a recipe: that of its file, or of the recipe beside it that it names as its `base`, with the values of
    /// its own keys in place of the base's.
    static func text(of path: String, basesLeft: Int = 8) throws -> Data {
        let (value, data) = try JSONFile.read(path)
        guard let base = value["base"] else { return data }
        guard basesLeft > 0, let name = base.string, !name.contains("/") else {
            throw RecipeError.invalid(
                file: path, key: "base", expected: "the name of a recipe in the same directory, with 8 bases at most",
                got: base.kind)
        }
        let basePath = URL(filePath: path).deletingLastPathComponent().appending(path: name).path
        let texts = [try text(of: basePath, basesLeft: basesLeft - 1), data]
        var merged = try texts.map { try JSONSerialization.jsonObject(with: $0) as? [String: Any] ?? [:] }
            .reduce(into: [:]) { $0.merge($1) { _, own in own } }
        merged["base"] = nil
        return try JSONSerialization.data(withJSONObject: merged, options: [.prettyPrinted, .sortedKeys])
    }

    /// The learning rate of a step, counted from 0: a straight rise, then half a cosine.
    public func rate(step: Int) -> Double {
        let (peak, warmup) = (optimizer.learningRate, optimizer.warmupSteps ?? 0)
        if step < warmup { return peak * Double(step + 1) / Double(warmup) }
        let floor = optimizer.finalRateRatio ?? 0
        let share = Double(step - warmup) / Double(max(1, steps - warmup))
        return peak * (floor + (1 - floor) * (1 + cos(.pi * share)) / 2)
    }

    /// A path of the recipe, which may be relative to it.
    static func path(_ path: String, relativeTo base: URL) -> String {
        path.hasPrefix("/") ? path : base.appending(path: path).standardizedFileURL.path
    }

    /// Whether a weight of this name is trained.
    public func trains(_ name: String) -> Bool { trainable.contains { Self.matches(name[...], $0[...]) } }

    static func matches(_ name: Substring, _ pattern: Substring) -> Bool {
        guard let first = pattern.first else { return name.isEmpty }
        if first == "*" {
            let rest = pattern.dropFirst()
            return rest.isEmpty || name.indices.contains { matches(name[$0...], rest) } || matches("", rest)
        }
        return name.first == first && matches(name.dropFirst(), pattern.dropFirst())
    }

    /// All keys of a recipe by their path.
    private static let keys: Set<String> = [
        "description", "stage", "model", "vision_tower", "template", "data", "validation", "trainable", "lora",
        "visual_tokens", "steps", "batch", "accumulate",
        "captions", "optimizer", "gradient_checkpointing", "checkpoint_every", "evaluate_every", "seed",
        "data.set", "data.split", "data.directory", "data.count", "data.weight", "data.seed", "data.questions",
        "data.kinds",
        "lora.rank", "lora.alpha", "lora.targets", "optimizer.learning_rate", "optimizer.warmup_steps",
        "optimizer.final_rate_ratio", "optimizer.weight_decay",
        "optimizer.beta1", "optimizer.beta2", "optimizer.clip_norm",
    ]

    private static func checkKeys(_ value: JSONValue, known: Set<String>, file: String, prefix: String = "") throws {
        for (key, member) in (value.object ?? [:]).sorted(by: { $0.key < $1.key }) {
            let path = prefix + key
            guard known.contains(path) else {
                let others = known.filter { $0.hasPrefix(prefix) && !$0.dropFirst(prefix.count).contains(".") }
                throw RecipeError.unknownKey(file: file, key: path, known: others.sorted())
            }
            // The parts of `validation` are those of `data`.
            let below = path == "validation" ? "data" : path
            try checkKeys(member, known: known, file: file, prefix: below + ".")
            for element in member.array ?? [] { try checkKeys(element, known: known, file: file, prefix: below + ".") }
        }
    }
}

/// What is wrong with a recipe, or with what it asks for.
public enum RecipeError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A key that no part of training reads.
    case unknownKey(file: String, key: String, known: [String])
    /// A value that makes no sense.
    case invalid(file: String, key: String, expected: String, got: String)
    /// Nothing of the model is trained.
    case nothingTrained(patterns: [String], examples: [String])
    /// There is a run in the directory already.
    case directoryExists(path: String)
    /// There is nothing to go on from.
    case nothingToResume(path: String)
    /// The run was begun with another recipe.
    case otherRecipe(path: String)
    /// The data are not those that the run was begun with.
    case otherData(checkpoint: String, expected: [Int], got: [Int])
    /// The loss is not a number.
    case notFinite(step: Int, loss: Double, examples: [String], checkpoint: String)

    /// What went wrong, and what to do next.
    public var description: String {
        switch self {
        case .unknownKey(let file, let key, let known):
            "\(file): nothing reads the key \(key); known: \(known.joined(separator: ", "))"
        case .invalid(let file, let key, let expected, let got):
            "\(file): \(key) is \(got), expected \(expected)"
        case .nothingTrained(let patterns, let examples):
            "no weight of the model fits \(patterns.joined(separator: ", ")); its weights are called for example "
                + examples.joined(separator: ", ")
        case .directoryExists(let path):
            "\(path) exists already; go on with --resume, or name another directory"
        case .nothingToResume(let path):
            "\(path) holds no checkpoint of a run; begin without --resume"
        case .otherRecipe(let path):
            "\(path) was begun with another recipe (its own is in recipe.json there); resume with that one, or begin anew"
        case .otherData(let checkpoint, let expected, let got):
            "\(checkpoint) was made with \(expected) examples, by data set, and now there are \(got); resume with the same "
                + "files and the same --skip-bad, or begin anew"
        case .notFinite(let step, let loss, let examples, let checkpoint):
            "the loss of step \(step) is \(loss), on \(examples.joined(separator: ", ")); the last good checkpoint is "
                + "\(checkpoint). Lower the learning rate or look at these examples."
        }
    }
}
