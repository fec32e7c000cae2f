public import NeuralNetwork
public import Tensors

extension QueryTransformer {
    /// The weights of a query transformer that is to be trained, under the names of the published `Resampler`.
    ///
    /// Queries and output projection are normal with deviation 0.02, the input projections Glorot-uniform, `proj` normal
    /// with deviation E^-½; norms start at 1 and 0, biases at 0, positions as sines and cosines rounded to float16.
    /// - Parameters:
    ///   - maximumTokens: M, a square number.
    ///   - featureSize: width of the tower's features, D, a multiple of 4.
    ///   - tokenSize: width of the decoder, E.
    ///
    /// Source: `Resampler.__init__` in MQT-LLaVA at 92c35d0.
    public static func freshWeights(
        maximumTokens: Int, featureSize: Int, tokenSize: Int, _ initializer: inout WeightInitializer
    ) throws -> [String: Tensor] {
        let (size, side) = (featureSize, PatchGrid(squareOf: maximumTokens).height)
        var weights = [
            "query": initializer.normal([maximumTokens, size], deviation: 0.02),
            "pos_embed": try SinCosPositionEmbedding.table(size: size, grid: side).converted(to: .float16).widened,
            "attn.in_proj_weight": initializer.xavierUniform([3 * size, size]),
            "attn.in_proj_bias": Tensor(repeating: 0, shape: [3 * size]),
            "attn.out_proj.weight": initializer.normal([size, size], deviation: 0.02),
            "attn.out_proj.bias": Tensor(repeating: 0, shape: [size]),
            "proj": initializer.normal([size, tokenSize], deviation: 1 / Float(tokenSize).squareRoot()),
        ]
        for norm in ["ln_q", "ln_k", "ln_v"] {
            weights[norm + ".weight"] = Tensor(repeating: 1, shape: [size])
            weights[norm + ".bias"] = Tensor(repeating: 0, shape: [size])
        }
        return weights
    }
}
