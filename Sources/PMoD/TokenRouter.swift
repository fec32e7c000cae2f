import NeuralNetwork
import Tensors

/// Scores tokens and chooses those that a mixture-of-depths layer processes.
public struct TokenRouter: Sendable {
    let router: Linear
    let weightNorm: WeightNorm
    /// Share of the routed tokens that are processed.
    let retentionRatio: Double
    /// The least number of them that are, if there are so many.
    var minimumTokens = 0

    /// What the router decided for T tokens.
    struct Decision {
        /// The router's output for every token.
        var scores: [Float]
        /// Weight of each token; meaningful for routed tokens only.
        var weights: [Float]
        /// What each token is multiplied by, `[T, 1]`: the weight of a routed token, 1 for any other. Gradients reach
        /// the router through it, and only through it: the choice of tokens has no slope.
        var factors: Tensor
        /// Indices of the tokens the layer processes, ascending.
        var kept: [Int]
    }

    /// How many of `count` routed tokens are kept: the product is taken in float32 and truncated, as in the reference.
    static func keptCount(of count: Int, ratio: Double) -> Int {
        Int((Float(count) * Float(ratio)).rounded(.towardZero))
    }

    /// Scores `x` `[T, D]` and keeps every token that is not routed and, of each sequence, the best-scored of those that
    /// are.
    ///
    /// Ranking uses the float32 logits, of which the weights are an increasing function; ties go to the lowest index
    /// (the reference leaves their order open).
    /// - Parameter sequences: sequences that lie one after the other in `x`; nil for one.
    func callAsFunction(_ x: Tensor, routed: [Bool], sequences: [Range<Int>]? = nil) -> Decision {
        let output = router(x)  // [T, 1]
        let scores = output.floats
        let logits = zip(scores, routed).map { $1 ? $0 : -Float.infinity }
        var isKept = routed.map { !$0 }
        for sequence in sequences ?? [routed.indices] {
            let candidates = sequence.filter { routed[$0] }
            let ranked = candidates.sorted { logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1 }
            let count = max(Self.keptCount(of: candidates.count, ratio: retentionRatio), minimumTokens)
            for token in ranked.prefix(count) { isKept[token] = true }
        }
        let weights = weightNorm(logits)
        return Decision(
            scores: scores, weights: weights,
            factors: weightNorm.factors(weights: weights, logits: logits, routed: routed, output: output),
            kept: routed.indices.filter { isKept[$0] })
    }
}
