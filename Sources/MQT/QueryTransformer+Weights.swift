public import NeuralNetwork
import Tensors

extension QueryTransformer {
    /// Reads a query transformer under the names of the published `Resampler`.
    /// - Parameters:
    ///   - weights: scoped to the transformer, `model.query_abstractor` in a checkpoint.
    ///   - maximumTokens: M, the number of queries, a square number.
    ///   - featureSize: width of the tower's features, D.
    ///   - tokenSize: width of the decoder, E.
    ///   - numHeads: attention heads, a divisor of D.
    ///   - keys: what the keys are made of.
    ///   - values: what the values are made of.
    public init(
        _ weights: WeightReader, maximumTokens: Int, featureSize: Int, tokenSize: Int, numHeads: Int,
        keys: KeySource = .positions, values: ValueSource = .features
    ) {
        let size = featureSize
        // The three projections are stored as one matrix, rows q | k | v.
        let inProjWeight = weights.matrix("attn.in_proj_weight", [3 * size, size])
        let inProjBias = weights.vector("attn.in_proj_bias", 3 * size)
        func projection(_ part: Int) -> Linear {
            let rows = part * size..<(part + 1) * size
            return Linear(weight: inProjWeight[rows], bias: inProjBias[rows])
        }
        query = weights.widened("query", [maximumTokens, size])
        posEmbed = weights.widened("pos_embed", [maximumTokens, size])
        lnQ = LayerNorm(weights.scoped("ln_q"), size: size, epsilon: 1e-6)
        qProj = projection(0)
        lnK = LayerNorm(weights.scoped("ln_k"), size: size, epsilon: 1e-6)
        lnV = LayerNorm(weights.scoped("ln_v"), size: size, epsilon: 1e-6)
        kProj = projection(1)
        vProj = projection(2)
        outProj = Linear(weights.scoped("attn.out_proj"), inputs: size, outputs: size, hasBias: true)
        proj = weights.matrix("proj", [size, tokenSize])
        self.numHeads = numHeads
        keySource = keys
        valueSource = values
    }
}
