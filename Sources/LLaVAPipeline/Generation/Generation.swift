public import LanguageDecoder
public import NeuralNetwork
public import Tensors

/// One answer in the making: a prompt, the cache it filled, and the tokens drawn so far.
///
///     var generation = Generation(model.decoder, prompt, sampling: .init(), maximumTokens: 64)
///     while let token = generation.next() { ... }
public struct Generation: ~Copyable {
    private let decoder: LlamaModel
    private var sampler: Sampler
    private let endTokens: Set<Int>
    private let maximumTokens: Int
    private var pendingLogits: Tensor
    private var lastToken: Int?

    /// Keys and values of every token fed so far.
    public private(set) var cache: KVCache
    /// The tokens drawn so far, an end token included.
    public private(set) var tokens: [Int] = []
    /// Logits `[1, V]` that each token was drawn from; kept only if asked for.
    public private(set) var logits: [Tensor] = []
    private let keepsLogits: Bool
    /// What each step works in, small blocks too: from the second step on nothing is asked of the allocator.
    private let memory = MemoryPool(smallestBlock: 0)

    /// Why no further token will come; nil while there may be one.
    public private(set) var stopReason: StopReason?

    /// Why a generation ended.
    public enum StopReason: String, Sendable {
        /// The model said that the answer is complete.
        case endOfText = "stop"
        /// The limit on new tokens, or on the sequence, was reached.
        case length
    }

    /// Runs a prompt through the decoder.
    /// - Parameters:
    ///   - cache: keys and values of tokens before the prompt; nil starts a new sequence.
    ///   - maximumTokens: limit on new tokens.
    ///   - endTokens: ids that end an answer.
    ///   - keepsLogits: whether to keep the logits of every step.
    ///   - trace: receives the intermediates of the prompt's pass, and `logits` `[1, T, V]`.
    /// - Throws: `LLaVAError.tooLong` if the prompt does not fit the decoder's positions, `LLaVAError.notFinite` if the
    ///   weights lead to no numbers.
    public init(
        _ decoder: LlamaModel, _ prompt: MultimodalPrompt, sampling: SamplingOptions, maximumTokens: Int,
        endTokens: Set<Int>, cache: consuming KVCache? = nil, keepsLogits: Bool = false, trace: Trace? = nil
    ) throws {
        let config = decoder.config
        // Room for a usual answer at once; longer ones make the cache grow.
        var cache = cache ?? KVCache(config, capacity: prompt.count + min(maximumTokens, 512))
        let length = cache.nextPosition + prompt.count
        guard length <= config.maxPositionEmbeddings else {
            throw LLaVAError.tooLong(tokens: length, limit: config.maxPositionEmbeddings)
        }
        var h: Tensor  // [1, D]
        if let trace {
            h = decoder.hiddenStates(prompt.inputsEmbeds, skippable: prompt.skippable, cache: &cache, trace: trace)
            let all = decoder.logits(h)  // [T, V]
            trace.record("logits", all.reshaped(to: [1] + all.shape))
            h = h[h.rows - 1..<h.rows]
        } else {
            h = decoder.lastHiddenState(prompt.inputsEmbeds, skippable: prompt.skippable, cache: &cache)
        }
        let logits = decoder.logits(h)  // [1, V]
        guard logits.withFloats({ $0.allSatisfy(\.isFinite) }) else { throw LLaVAError.notFinite }
        self.decoder = decoder
        self.endTokens = endTokens
        self.maximumTokens = maximumTokens
        self.keepsLogits = keepsLogits
        self.cache = cache
        pendingLogits = logits
        sampler = Sampler(sampling)
    }

    /// Draws the next token, after feeding the one before; nil when the answer is complete.
    ///
    /// An end token is not returned, but counts in `tokens`.
    public mutating func next() -> Int? {
        guard stopReason == nil else { return nil }
        guard tokens.count < maximumTokens,
            cache.nextPosition < decoder.config.maxPositionEmbeddings || lastToken == nil
        else {
            stopReason = .length
            return nil
        }
        if let lastToken {
            pendingLogits = ComputeContext.reusingMemory(of: memory) {
                decoder.logits(decoder.hiddenStates(decoder.embedTokens([lastToken]), cache: &cache))
            }
        }
        if keepsLogits { logits.append(pendingLogits) }
        let token = sampler.next(pendingLogits)
        tokens.append(token)
        lastToken = token
        guard !endTokens.contains(token) else {
            stopReason = .endOfText
            return nil
        }
        return token
    }

    /// Gives up the cache, to go on from it with another prompt. The last token drawn is not in it yet.
    public consuming func takeCache() -> KVCache { cache }
}
