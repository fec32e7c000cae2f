import NeuralNetwork
import Tensors

/// Attention that is timed, with the shapes of `vlm bench kernels`.
struct AttentionShape: Encodable {
    var tokens: Int
    var heads = 16
    var headSize: Int
    var isCausal = false

    static let all = [
        Self(tokens: 257, headSize: 64), Self(tokens: 577, headSize: 64), Self(tokens: 1024, headSize: 64),
        Self(tokens: 1024, headSize: 128), Self(tokens: 2048, headSize: 64, isCausal: true),
        Self(tokens: 2048, headSize: 128, isCausal: true),
    ]

    /// Ours, ready to be called.
    func ours() -> () -> Void {
        var values = WeightInitializer(seed: 1)
        let (q, k, v) = (
            values.uniform([tokens, heads * headSize], bound: 1), values.uniform([tokens, heads * headSize], bound: 1),
            values.uniform([tokens, heads * headSize], bound: 1)
        )
        return {
            _ = attention(
                queries: q, keys: k, values: v, heads: heads, keyValueHeads: heads, mask: isCausal ? .causal : .full)
        }
    }
}
