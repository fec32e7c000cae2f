import LanguageDecoder
public import LLaVAPipeline
import Tensors

/// Greedy answers to questions about one picture at several budgets, whose prompts share what the decoder has read.
///
/// The shared part of a prompt are its ids up to the picture and the picture's tokens. Answers are those that
/// `Generation` gives from an empty cache, but for the rounding of sums that are formed over other numbers of rows.
public struct PromptReader: ~Copyable {
    private let assistant: Assistant
    private let maximumTokens: Int
    private let tokens: VisualTokens
    private let views: Int
    /// What prompts share.
    public let reuse: PrefixReuse
    private var cache: KVCache?
    private var known: Prefix?

    /// What the cache holds.
    private struct Prefix {
        /// Ids up to the picture's mark.
        var ids: [Int]
        /// Visual tokens of each view; nil where a model's number is fixed.
        var budget: Int?
        var extent: KVCache.Extent
    }

    /// An answer and what it cost.
    public struct Answer: Sendable {
        /// Tokens drawn, an end token included.
        public var tokens: [Int]
        /// Their text.
        public var text: String
        /// Whether the limit on tokens cut it.
        public var isCut: Bool
        /// Tokens of the whole prompt.
        public var promptTokens: Int
        /// Keys in all layers when the prompt was read.
        public var kvEntries: Int
        /// Bytes of keys and values then.
        public var kvBytes: Int
        /// Reading what was not known of the prompt, up to the first token.
        public var prefill: Duration
        /// Operations of that; 0 unless the context counts them.
        public var prefillOperations: Int
        /// All steps after that.
        public var decode: Duration
        /// How many there were.
        public var decodeSteps: Int
    }

    /// A reader for one picture.
    /// - Parameters:
    ///   - tokens: visual tokens at the largest budget.
    ///   - views: views of the picture.
    public init(_ assistant: Assistant, _ tokens: VisualTokens, views: Int, maximumTokens: Int) {
        self.assistant = assistant
        self.maximumTokens = maximumTokens
        self.tokens = tokens
        self.views = views
        reuse = PrefixReuse(assistant.model, views: views)
    }

    /// Answers a question at a budget. Ask larger budgets first and questions of one budget together: less is read.
    /// - Parameters:
    ///   - ids: the prompt with one mark for the picture.
    ///   - budget: visual tokens of each view; nil for all there are.
    /// - Throws: `LLaVAError`.
    public mutating func answer(_ ids: [Int], budget: Int?) throws -> Answer {
        let mark = ids.firstIndex(of: MultimodalPrompt.imageToken) ?? ids.endIndex
        let rest = Array(ids[min(mark + 1, ids.endIndex)...])
        guard reuse != .none, mark < ids.endIndex, !rest.isEmpty else {
            return try Self.answer(
                assistant, ids, budget.map { tokens.prefix($0, ofEachOf: views) } ?? tokens, maximumTokens)
        }
        let clock = ContinuousClock()
        let (start, operations) = (clock.now, Self.operations)
        let cache = try readPrefix(Array(ids[...mark]), budget)
        let prompt = try assistant.model.prompt(rest, images: [])
        let before = cache.nextPosition
        var generation = try Generation(
            assistant.model.decoder, prompt, sampling: SamplingOptions(), maximumTokens: maximumTokens,
            endTokens: assistant.endTokens, cache: cache)
        let prefill = clock.now - start
        let answer = Self.finish(
            &generation, assistant, promptTokens: before + prompt.count, prefill, Self.operations - operations)
        self.cache = generation.takeCache()
        return answer
    }

    /// The answer from an empty cache.
    public static func answer(
        _ assistant: Assistant, _ ids: [Int], _ tokens: VisualTokens, _ maximumTokens: Int
    ) throws -> Answer {
        let clock = ContinuousClock()
        let (start, operations) = (clock.now, operations)
        let prompt = try assistant.model.prompt(ids, images: [tokens])
        var generation = try Generation(
            assistant.model.decoder, prompt, sampling: SamplingOptions(), maximumTokens: maximumTokens,
            endTokens: assistant.endTokens)
        return finish(
            &generation, assistant, promptTokens: prompt.count, clock.now - start, Self.operations - operations)
    }

    private static var operations: Int { ComputeContext.current.operations?.count ?? 0 }

    /// The cache cut back to a prefix, or read anew.
    private mutating func readPrefix(_ ids: [Int], _ budget: Int?) throws -> KVCache {
        let held = cache.take()
        let prefix = known
        known = nil
        if var cache = held, let prefix, prefix.ids == ids {
            if prefix.budget == budget {
                cache.truncate(to: prefix.extent)
                known = prefix
                return cache
            }
            if reuse == .acrossBudgets, let budget, let larger = prefix.budget, budget < larger {
                cache.truncate(to: prefix.extent)
                cache.truncate(toPosition: prefix.extent.nextPosition - larger + budget)
                known = Prefix(ids: ids, budget: budget, extent: cache.extent)
                return cache
            }
        }
        let prompt = try assistant.model.prompt(
            ids, images: [budget.map { tokens.prefix($0, ofEachOf: views) } ?? tokens])
        let decoder = assistant.model.decoder
        guard prompt.count <= decoder.config.maxPositionEmbeddings else {
            throw LLaVAError.tooLong(tokens: prompt.count, limit: decoder.config.maxPositionEmbeddings)
        }
        var cache = KVCache(decoder.config, capacity: prompt.count + 64 + min(maximumTokens, 512))
        _ = decoder.lastHiddenState(prompt.inputsEmbeds, skippable: prompt.skippable, cache: &cache)
        known = Prefix(ids: ids, budget: budget, extent: cache.extent)
        return cache
    }

    private static func finish(
        _ generation: inout Generation, _ assistant: Assistant, promptTokens: Int, _ prefill: Duration,
        _ operations: Int
    ) -> Answer {
        var answer = Answer(
            tokens: [], text: "", isCut: false, promptTokens: promptTokens, kvEntries: generation.cache.entryCount,
            kvBytes: generation.cache.usedBytes, prefill: prefill, prefillOperations: operations,
            decode: .zero, decodeSteps: 0)
        let clock = ContinuousClock()
        let start = clock.now
        var text = assistant.answerText()
        while !text.isComplete, let token = generation.next() { _ = text.append(token) }
        _ = text.finish()
        answer.decode = clock.now - start
        // The first token comes from the prompt's logits.
        answer.decodeSteps = max(0, generation.tokens.count - 1)
        answer.tokens = generation.tokens
        answer.text = text.text
        answer.isCut = generation.stopReason == .length && !text.isComplete
        return answer
    }
}
