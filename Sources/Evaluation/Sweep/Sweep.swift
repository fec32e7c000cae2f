public import LLaVAPipeline
import MQT
import ModelFiles
import Tensors
import Training
import VisionEncoder

/// Asks models about pictures at several budgets, and measures what that costs.
///
/// Every picture goes through a model's vision tower and query transformer once; smaller budgets are slices of the
/// largest, and prompts share what the decoder has read of them (`PrefixReuse`). Of the first pictures one question is
/// also read from the beginning at every budget: this gives the times that a single question takes, and shows that
/// sharing changes no answer.
public struct Sweep {
    /// The models, each with its words.
    public let assistants: [Assistant]
    /// What is asked.
    public let set: EvaluationSet
    /// Budgets from the largest on; empty where every model's number is fixed.
    public let budgets: [Int]
    /// The most tokens of an answer.
    public let maximumTokens: Int
    /// Pictures whose first question is also read from the beginning.
    public let timedPictures: Int
    private let log: AnswerLog

    /// How far a sweep has come.
    public struct Progress: Sendable {
        /// Pictures that are done, of all models together.
        public var done: Int
        /// Pictures of all models together.
        public var total: Int
        /// Pictures that were done in an earlier run.
        public var resumed: Int
    }

    /// A sweep whose answers go to a log, from which it goes on if they are there already.
    /// - Parameter options: whatever else answers depend on, such as a template; not interpreted.
    /// - Throws: `EvaluationError` for budgets that do not fit, and for a log of something else.
    public init(
        _ assistants: [Assistant], _ set: EvaluationSet, budgets: BudgetList, maximumTokens: Int, timedPictures: Int,
        options: String = "", log path: String
    ) throws {
        self.assistants = assistants
        self.set = set
        self.budgets = try budgets.budgets(for: assistants.map(\.model))
        self.maximumTokens = maximumTokens
        self.timedPictures = timedPictures
        log = try AnswerLog(
            path: path,
            settings: AnswerSettings(
                checksum: set.checksum, models: assistants.map { FileStamp.of($0.model.path) }, options: options,
                visualTokens: self.budgets, maximumTokens: maximumTokens, timedPictures: timedPictures,
                quantizedProducts: ([ComputeContext.current.quantizedProducts.rawValue]
                    + assistants.compactMap(\.model.quantization.words)).joined(separator: ", ")))
    }

    /// Asks what was not asked yet.
    /// - Parameters:
    ///   - isCancelled: asked before each picture and each answer; true ends the sweep, which can go on from its log
    ///     with the picture it was at.
    ///   - report: is told after every picture.
    /// - Returns: what came of every picture of every model, in order; nil if it was cancelled.
    /// - Throws: `EvaluationError`, and what reading the pictures throws.
    public func run(
        isCancelled: () -> Bool = { false }, report: (Progress) -> Void = { _ in }
    ) throws -> [PictureRecord]? {
        let known = Set(log.records.map { [$0.model, $0.picture] })
        var progress = Progress(done: known.count, total: assistants.count * set.items.count, resumed: known.count)
        var context = ComputeContext.current
        let counter = context.operations ?? OperationCounter()
        context.operations = counter
        return try context.run {
            for model in assistants.indices {
                for picture in set.items.indices where !known.contains([model, picture]) {
                    guard !isCancelled(), let record = try record(model, picture, counter, isCancelled) else {
                        return nil
                    }
                    try log.append(record)
                    progress.done += 1
                    report(progress)
                }
            }
            return log.records.sorted { ($0.model, $0.picture) < ($1.model, $1.picture) }
        }
    }

    /// Asks one model about one picture; nil if that was cancelled.
    private func record(
        _ number: Int, _ picture: Int, _ counter: OperationCounter, _ isCancelled: () -> Bool
    ) throws -> PictureRecord? {
        let (assistant, item) = (assistants[number], set.items[picture])
        do {
            guard let source = try set.picture(of: item) else {
                throw EvaluationError.noPictures(source: set.name, examples: 1)
            }
            return try answered(assistant, source, item, number, picture, counter, isCancelled)
        } catch let error as LLaVAError {
            throw EvaluationError.failed(model: assistant.model.path, origin: item.origins[0], reason: "\(error)")
        }
    }

    private func answered(
        _ assistant: Assistant, _ source: TrainingExample.Source, _ item: EvaluationSet.Item, _ number: Int,
        _ picture: Int, _ counter: OperationCounter, _ isCancelled: () -> Bool
    ) throws -> PictureRecord? {
        let model = assistant.model
        var (timings, operations, encodes) = (StageTimings(), 0, 0)
        let image = try source.decoded()
        let processed = try timings.measure(\.preprocess) { try model.process(image) }
        let features = try counter.counting(into: &operations) {
            encodes += 1
            return try timings.measure(\.encode) { try model.encode(processed) }
        }
        let views = processed.pixelValues.shape[0]
        let own: [Int?] = model.maximumVisualTokens == nil ? [nil] : budgets
        let tokens = try model.visualTokens(from: features, budget: model.budget(own[0]))
        let prompts = try item.turns.map {
            try assistant.ids(of: assistant.conversation(asking: $0.question, images: 1))
        }
        var reader = PromptReader(assistant, tokens, views: views, maximumTokens: maximumTokens)
        var record = PictureRecord(
            model: number, picture: picture, encodes: encodes, views: views, reuse: reader.reuse,
            preprocessMilliseconds: timings.preprocess.milliseconds, encodeMilliseconds: timings.encode.milliseconds,
            encodeOperations: operations, peakRssBytes: 0, answers: [], timed: [])
        for budget in own {
            var first: [Int] = []
            for (question, ids) in prompts.enumerated() {
                if isCancelled() { return nil }
                let answer = try reader.answer(ids, budget: budget)
                if question == 0 { first = answer.tokens }
                record.answers.append(
                    PictureRecord.Answer(
                        visualTokens: budget ?? tokens.count / views, question: question, text: answer.text,
                        isCut: answer.isCut, promptTokens: answer.promptTokens, kvEntries: answer.kvEntries,
                        kvBytes: answer.kvBytes, prefillMilliseconds: answer.prefill.milliseconds,
                        decodeMilliseconds: answer.decode.milliseconds, decodeSteps: answer.decodeSteps))
            }
            if picture < timedPictures {
                record.timed.append(
                    try timed(assistant, features, prompts[0], budget, views: views, expecting: first, counter))
            }
        }
        record.peakRssBytes = ProcessMemory.peakBytes
        return record
    }

    /// A question as it would be answered alone, from the features on.
    private func timed(
        _ assistant: Assistant, _ features: LLaVAModel.Features, _ ids: [Int], _ budget: Int?, views: Int,
        expecting expected: [Int], _ counter: OperationCounter
    ) throws -> PictureRecord.TimedPrompt {
        let model = assistant.model
        var (timings, transformer, decoder) = (StageTimings(), 0, 0)
        let tokens = try counter.counting(into: &transformer) {
            try timings.measure(\.queryTransformer) {
                try model.visualTokens(from: features, budget: model.budget(budget))
            }
        }
        let answer = try counter.counting(into: &decoder) {
            try PromptReader.answer(assistant, ids, tokens, maximumTokens)
        }
        return PictureRecord.TimedPrompt(
            visualTokens: budget ?? tokens.count / views,
            queryTransformerMilliseconds: timings.queryTransformer.milliseconds,
            queryTransformerOperations: transformer, prefillMilliseconds: answer.prefill.milliseconds,
            decoderOperations: decoder, prefillOperations: answer.prefillOperations, decodeSteps: answer.decodeSteps,
            decodeMilliseconds: answer.decode.milliseconds, isSameAnswer: answer.tokens == expected)
    }
}
