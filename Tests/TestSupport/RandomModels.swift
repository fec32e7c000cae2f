public import Tensors

/// Weights of small models with random values, under the names of real checkpoints.
public struct RandomWeights {
    private var generator: SeededGenerator
    /// The tensors so far.
    public private(set) var tensors: [String: Tensor] = [:]

    /// No weights yet.
    public init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    /// Adds a matrix whose rows have about unit length.
    public mutating func matrix(_ name: String, _ rows: Int, _ columns: Int) {
        let scale = (3 / Float(columns)).squareRoot()
        tensors[name] = Tensor(generator.floats(rows * columns).map { $0 * scale }, shape: [rows, columns])
    }

    /// Adds a vector around a value.
    public mutating func vector(_ name: String, _ count: Int, around value: Float, by spread: Float = 0.1) {
        tensors[name] = Tensor(generator.floats(count).map { value + spread * $0 }, shape: [count])
    }

    /// Adds a decoder.
    /// - Parameter isMixture: which layers have a router.
    public mutating func llama(
        vocabulary: Int, size: Int, intermediate: Int, layers: Int, keyValueSize: Int,
        isMixture: (Int) -> Bool = { _ in false }
    ) {
        matrix("model.embed_tokens.weight", vocabulary, size)
        for layer in 0..<layers {
            var prefix = "model.layers.\(layer)."
            if isMixture(layer) {
                matrix(prefix + "router.router.weight", 1, size)
                vector(prefix + "router.router.bias", 1, around: 0)
                prefix += "decoder_layer."
            }
            matrix(prefix + "self_attn.q_proj.weight", size, size)
            matrix(prefix + "self_attn.k_proj.weight", keyValueSize, size)
            matrix(prefix + "self_attn.v_proj.weight", keyValueSize, size)
            matrix(prefix + "self_attn.o_proj.weight", size, size)
            matrix(prefix + "mlp.gate_proj.weight", intermediate, size)
            matrix(prefix + "mlp.up_proj.weight", intermediate, size)
            matrix(prefix + "mlp.down_proj.weight", size, intermediate)
            vector(prefix + "input_layernorm.weight", size, around: 1)
            vector(prefix + "post_attention_layernorm.weight", size, around: 1)
        }
        vector("model.norm.weight", size, around: 1)
        matrix("lm_head.weight", vocabulary, size)
    }
}
