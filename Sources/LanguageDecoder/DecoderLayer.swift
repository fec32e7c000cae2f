public import NeuralNetwork
public import Tensors

/// What a layer needs to know about the tokens it is given, beside their hidden states.
public struct DecoderStep {
    /// The tokens' rotations, at their positions in the whole sequence.
    public let rotations: Rotations
    /// Which tokens each token sees. Where there is a cache, causal.
    public let mask: AttentionMask
    /// Tokens that a mixture-of-depths layer may skip; nil when there are none, as in decoding.
    public let skippable: [Bool]?
    /// Sequences that lie one after the other among the tokens, each of which skips for itself; nil for one.
    public let sequences: [Range<Int>]?
    /// Collector of intermediates.
    public let trace: Trace?

    /// A description of T tokens.
    public init(
        rotations: Rotations, mask: AttentionMask = .causal, skippable: [Bool]?,
        sequences: [Range<Int>]? = nil, trace: Trace?
    ) {
        self.rotations = rotations
        self.mask = mask
        self.skippable = skippable
        self.sequences = sequences
        self.trace = trace
    }

    /// What there is to know about some of the tokens.
    /// - Parameters:
    ///   - tokens: which ones, ascending.
    ///   - count: how many tokens this describes, T.
    public func gathered(_ tokens: [Int], of count: Int) -> DecoderStep {
        DecoderStep(
            rotations: rotations.gathered(tokens), mask: mask.gathered(tokens, of: count), skippable: nil,
            trace: trace)
    }
}

/// A layer of a decoder: `[T, D]` -> `[T, D]`, adding its keys and values to the cache.
public protocol DecoderLayer: Sendable {
    /// The layer applied to T new tokens that follow those in `cache`; without a cache, to whole sequences.
    func callAsFunction(_ x: Tensor, _ step: DecoderStep, cache: LayerKeyValues?) -> Tensor

    /// What the layer gives for the last of the T tokens, `[1, D]`. All that it keeps enter the cache.
    func lastState(_ x: Tensor, _ step: DecoderStep, cache: LayerKeyValues) -> Tensor
}
