public import NeuralNetwork
public import Tensors

/// A LLaMA-family decoder: embeddings, layers, final norm, and the head that gives logits.
///
/// Layers are plain or wrapped (mixture of depths); the model does not know which.
public struct LlamaModel: Sendable {
    /// The decoder's shape.
    public let config: LlamaConfig
    /// Token embeddings, `[V, D]`.
    public let embedTokens: Embedding
    let layers: [any DecoderLayer]
    let norm: RMSNorm
    let lmHead: Linear

    /// Final hidden states of T new tokens that follow those in the cache.
    /// - Parameters:
    ///   - inputsEmbeds: embeddings of the tokens, `[T, D]`.
    ///   - skippable: tokens that mixture-of-depths layers may skip; nil for none.
    ///   - cache: keys and values of the tokens before; the new tokens' are added.
    ///   - trace: receives `decoder.hidden.I`, `[1, T, D]`.
    /// - Returns: `[T, D]`, after the final norm.
    public func hiddenStates(
        _ inputsEmbeds: Tensor, skippable: [Bool]? = nil, cache: inout KVCache, trace: Trace? = nil
    ) -> Tensor {
        let rotations = rotaryEmbedding(Array(cache.advance(by: inputsEmbeds.rows)))
        let step = DecoderStep(rotations: rotations, skippable: skippable, trace: trace)
        var h = inputsEmbeds  // [T, D]
        for (index, layer) in layers.enumerated() {
            trace?.record("decoder.hidden.\(index)", h.reshaped(to: [1] + h.shape))
            h = layer(h, step, cache: cache.layers[index])  // [T, D]
        }
        trace?.record("decoder.layer_output.\(layers.count - 1)", h.reshaped(to: [1] + h.shape))
        h = norm(h)
        trace?.record("decoder.hidden.\(layers.count)", h.reshaped(to: [1] + h.shape))
        return h
    }

    /// Logits of the next token after each row of final hidden states, `[T, D]` -> `[T, V]`.
    public func logits(_ hiddenStates: Tensor) -> Tensor { lmHead(hiddenStates) }

    private var rotaryEmbedding: RotaryEmbedding {
        RotaryEmbedding(
            headSize: config.headSize, theta: config.ropeTheta, scalingFactor: config.ropeScalingFactor)
    }
}
