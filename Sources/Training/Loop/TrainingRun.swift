public import Foundation
import LLaVAPipeline
import LanguageDecoder
import ModelFiles
import NeuralNetwork
import Tensors
import Tokenization
import VisionEncoder

/// A recipe that is carried out in a directory, from the beginning or from its newest checkpoint.
///
///     run/recipe.json  run/log.jsonl  run/events.out.tfevents...  run/checkpoints/  run/model/
///
/// Every random choice follows from the recipe's seed and the number of the step, so a run that was killed at any moment
/// and resumed ends with the same bytes as one that was not.
public final class TrainingRun {
    /// What is carried out.
    public let recipe: Recipe
    /// Where.
    public let directory: URL
    private let learner: any Learner
    private let optimizer: AdamW
    private var stream: ExampleStream
    /// The examples of every step, where one batch is to be learned by heart.
    private var onlyBatch: [ExampleStream.Place]?
    private let learnsOneBatch: Bool
    /// Steps taken.
    public private(set) var step = 0

    /// What a step came to.
    public struct Progress: Sendable, Codable {
        /// Steps taken.
        public var step: Int
        /// Mean cross entropy over the learned tokens of the step.
        public var loss: Double
        /// Learning rate.
        public var rate: Double
        /// Norm of the gradients before clipping.
        public var gradientNorm: Double
        /// Tokens of each image, for each time that it was learned; nil for a model whose number is fixed.
        public var visualTokens: [Int]?
        /// Tokens that were processed.
        public var tokens: Int
        /// Tokens that were learned.
        public var supervisedTokens: Int
        /// Time the step took.
        public var seconds: Double
        /// Share of right answers on the validation data, by data set and kind of question.
        public var accuracy: [String: Double]?
    }

    /// Prepares a run.
    /// - Parameters:
    ///   - recipePath: the recipe.
    ///   - directory: where results go; must not exist unless the run is resumed.
    ///   - resuming: whether to go on from the newest checkpoint.
    ///   - overfitting: whether every step takes the examples of the first one: a model that cannot learn these by heart
    ///     cannot learn.
    ///   - cacheBytes: how much memory features of images may take.
    ///   - skipBad: whether to pass over examples of files whose picture is missing or cannot be decoded.
    /// - Throws: `RecipeError`, `DataError`, and whatever loading the model throws.
    public init(
        recipe recipePath: String, directory: String, resuming: Bool, overfitting: Bool = false,
        cacheBytes: Int = 4 << 30, skipBad: Bool = false
    ) throws {
        learnsOneBatch = overfitting
        let recipe = try Recipe(contentsOf: recipePath)
        self.recipe = recipe
        self.directory = URL(filePath: directory)
        let base = URL(filePath: recipePath).deletingLastPathComponent()
        try Self.prepare(self.directory, Recipe.text(of: recipePath), resuming: resuming)

        learner =
            switch recipe.stage ?? .answers {
            case .answers:
                try AnswerLearner(recipe, relativeTo: base, cacheBytes: cacheBytes, skipBad: skipBad)
            case .denseLabels: try TowerLearner(recipe, relativeTo: base)
            }

        let settings = recipe.optimizer
        let decay = Float(settings.weightDecay ?? 0)
        optimizer = AdamW(
            [
                AdamW.Group(learner.parameters.filter { $0.tensor.rank > 1 }, weightDecay: decay),
                AdamW.Group(learner.parameters.filter { $0.tensor.rank <= 1 }),
            ], beta1: Float(settings.beta1 ?? 0.9), beta2: Float(settings.beta2 ?? 0.999))

        let counts = learner.datasets.map(\.count)
        stream = ExampleStream(
            counts: counts, weights: recipe.data.map { $0.weight ?? 1 }, seed: recipe.seed)
        if resuming {
            guard let checkpoint = RunState.newest(in: self.directory) else {
                throw RecipeError.nothingToResume(path: directory)
            }
            let state = try RunState.load(checkpoint, learner, optimizer)
            guard (state.counts ?? counts) == counts else {
                throw RecipeError.otherData(checkpoint: checkpoint.path, expected: state.counts ?? [], got: counts)
            }
            step = state.step
            stream = ExampleStream(
                counts: counts, weights: recipe.data.map { $0.weight ?? 1 }, seed: recipe.seed,
                drawn: state.drawn)
        }
    }

    /// Goes over all the data of a recipe before anybody trains on it: labels made in two ways, pictures, answers.
    /// - Parameters:
    ///   - skipBad: whether examples whose picture is missing or cannot be decoded are only counted.
    ///   - progress: is told the data set and how many of its examples are done.
    /// - Returns: a report for each source of the recipe's `data` and `validation`, in order.
    public static func check(
        recipe path: String, skipBad: Bool = false, progress: (String, Int) -> Void = { _, _ in }
    ) throws -> [(name: String, report: DataCheck.Report)] {
        let recipe = try Recipe(contentsOf: path)
        let base = URL(filePath: path).deletingLastPathComponent()
        guard recipe.stage ?? .answers == .answers else {
            throw RecipeError.invalid(
                file: path, key: "stage", expected: "answers, whose labels can be checked", got: "dense_labels")
        }
        let assistant = try Assistant(
            LLaVAModel.load(from: Recipe.path(recipe.model, relativeTo: base)), templateName: recipe.template)
        let check = DataCheck(
            template: assistant.template.template, tokenizer: assistant.tokenizer,
            maximumLength: assistant.model.config.llama.maxPositionEmbeddings,
            visualTokens: assistant.model.maximumVisualTokens ?? assistant.model.vision?.grid.count ?? 1,
            skipsBadImages: skipBad)
        return try (recipe.data + (recipe.validation ?? [])).map { source in
            let dataset = try source.dataset(relativeTo: base, side: assistant.pictureSide, skipBad: skipBad)
            return (dataset.name, check.run(dataset) { progress(dataset.name, $0) })
        }
    }

    /// Makes the directory with a copy of the recipe, or checks that it was begun with the same one.
    private static func prepare(_ directory: URL, _ recipe: Data, resuming: Bool) throws {
        let copy = directory.appending(path: "recipe.json")
        let exists = FileManager.default.fileExists(atPath: directory.path)
        if resuming {
            guard exists else { throw RecipeError.nothingToResume(path: directory.path) }
            guard (try? Data(contentsOf: copy)) == recipe else { throw RecipeError.otherRecipe(path: directory.path) }
        } else {
            guard !exists else { throw RecipeError.directoryExists(path: directory.path) }
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            try recipe.write(to: copy, options: .atomic)
        }
    }

    /// Carries out what is left of the recipe.
    /// - Parameters:
    ///   - isCancelled: asked before each step; true saves a checkpoint and ends the run.
    ///   - report: is told of every step.
    /// - Returns: whether the recipe is done.
    /// - Throws: `RecipeError.notFinite` if the loss is not a number, and errors of files.
    @discardableResult
    public func run(isCancelled: () -> Bool = { false }, report: (Progress) -> Void) throws -> Bool {
        let log = try RunLog(directory, keepingStepsUpTo: step)
        let clock = ContinuousClock()
        while step < recipe.steps {
            if isCancelled() {
                try save()
                return false
            }
            let start = clock.now
            var progress = try takeStep()
            if let every = recipe.evaluateEvery, step.isMultiple(of: every) || step == recipe.steps {
                progress.accuracy = try evaluate()
            } else if recipe.evaluateEvery == nil, step == recipe.steps, recipe.validation?.isEmpty == false {
                progress.accuracy = try evaluate()
            }
            progress.seconds = (clock.now - start).milliseconds / 1000
            try log.write(progress)
            report(progress)
            if step.isMultiple(of: recipe.checkpointEvery) || step == recipe.steps { try save() }
        }
        try learner.write(to: directory.appending(path: "model"))
        return true
    }

    /// One step of the optimiser.
    private func takeStep() throws -> Progress {
        var random = stream.random(step: step)
        let parts = recipe.accumulate ?? 1
        var progress = Progress(
            step: step + 1, loss: 0, rate: recipe.rate(step: step), gradientNorm: 0, tokens: 0, supervisedTokens: 0,
            seconds: 0)
        var origins: [String] = []
        for _ in 0..<parts {
            if let maximum = learner.maximumVisualTokens {
                progress.visualTokens = (recipe.visualTokens ?? .firstStage).draw(maximum: maximum, &random)
            }
            let places = onlyBatch ?? stream.next(recipe.batch, &random)
            if learnsOneBatch { onlyBatch = places }
            origins += places.map(learner.origin)
            let outcome = try learner.learn(places, visualTokens: progress.visualTokens, weight: 1 / Double(parts))
            progress.loss += outcome.loss / Double(parts)
            progress.tokens += outcome.tokens
            progress.supervisedTokens += outcome.supervisedTokens
        }
        progress.gradientNorm = optimizer.gradientNorm
        guard progress.loss.isFinite, progress.gradientNorm.isFinite else {
            throw RecipeError.notFinite(
                step: step + 1, loss: progress.loss, examples: origins,
                checkpoint: RunState.newest(in: directory)?.path ?? "none yet")
        }
        optimizer.step(rate: Float(progress.rate), clippingTo: recipe.optimizer.clipNorm)
        step += 1
        return progress
    }

    /// Shares of right answers on the validation data at the largest budget, by data set and kind of question or label.
    public func evaluate() throws -> [String: Double] { try learner.evaluate(batch: recipe.batch) }

    /// Examples of each of the recipe's data sets that are passed over because of their pictures.
    public var skippedExamples: [(name: String, count: Int)] {
        learner.datasets.map { ($0.name, ($0 as? QuestionFile)?.skippedCount ?? 0) }
    }

    /// Number of weights that are trained.
    public var trainedWeights: Int { learner.parameters.reduce(0) { $0 + $1.count } }

    private func save() throws {
        try RunState(step: step, drawn: stream.drawn, counts: learner.datasets.map(\.count)).save(
            in: directory, learner, optimizer)
    }
}

/// The logs of a run: a JSON object a line, and what TensorBoard reads.
private final class RunLog {
    private let lines: FileHandle
    private let events: EventLog
    private let encoder = JSONEncoder()

    /// Opens the logs; lines of steps that are taken again are dropped.
    init(_ directory: URL, keepingStepsUpTo step: Int) throws {
        let url = directory.appending(path: "log.jsonl")
        let old = (try? String(contentsOf: url, encoding: .utf8)) ?? ""
        let kept = old.split(separator: "\n").filter { line in
            struct Line: Decodable { var step: Int }
            let known = try? JSONDecoder().decode(Line.self, from: Data(line.utf8))
            return known.map { $0.step <= step } ?? false
        }
        try Data(kept.map { $0 + "\n" }.joined().utf8).write(to: url, options: .atomic)
        lines = try FileHandle(forWritingTo: url)
        try lines.seekToEnd()
        let started = Int(Date().timeIntervalSince1970)
        events = try EventLog(url: directory.appending(path: "events.out.tfevents.\(started).step\(step)"))
        encoder.outputFormatting = [.sortedKeys]
        encoder.keyEncodingStrategy = .convertToSnakeCase
    }

    deinit { try? lines.close() }

    func write(_ progress: TrainingRun.Progress) throws {
        try lines.write(contentsOf: encoder.encode(progress) + Data("\n".utf8))
        var scalars = [
            "loss": progress.loss, "rate": progress.rate, "gradient_norm": progress.gradientNorm,
            "tokens_per_second": Double(progress.tokens) / max(progress.seconds, 1e-9),
        ]
        for (key, value) in progress.accuracy ?? [:] { scalars["accuracy/" + key] = value }
        try events.write(step: progress.step, scalars)
    }
}
