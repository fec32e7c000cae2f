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

    /// Final hidden states of T new tokens that follow those in the cache. Nothing is recorded for gradients.
    /// - Parameters:
    ///   - inputsEmbeds: embeddings of the tokens, `[T, D]`.
    ///   - skippable: tokens that mixture-of-depths layers may skip; nil for none.
    ///   - cache: keys and values of the tokens before; the new tokens' are added.
    ///   - trace: receives `decoder.hidden.I`, `[1, T, D]`.
    /// - Returns: `[T, D]`, after the final norm.
    public func hiddenStates(
        _ inputsEmbeds: Tensor, skippable: [Bool]? = nil, cache: inout KVCache, trace: Trace? = nil
    ) -> Tensor {
        read(inputsEmbeds, skippable, &cache, trace) { layer, h, step, cache in layer(h, step, cache: cache) }
    }

    /// Final hidden state of the last of T new tokens that follow those in the cache, `[1, D]`: all of a prompt that the
    /// next token depends on. Of the others the last layer computes keys and values alone.
    /// - Parameters:
    ///   - inputsEmbeds: embeddings of the tokens, `[T, D]`.
    ///   - skippable: tokens that mixture-of-depths layers may skip; nil for none.
    ///   - cache: keys and values of the tokens before; the new tokens' are added.
    public func lastHiddenState(
        _ inputsEmbeds: Tensor, skippable: [Bool]? = nil, cache: inout KVCache
    ) -> Tensor {
        read(inputsEmbeds, skippable, &cache, nil) { layer, h, step, cache in layer.lastState(h, step, cache: cache) }
    }

    /// New tokens through all layers, of which the last is applied by `last`.
    private func read(
        _ inputsEmbeds: Tensor, _ skippable: [Bool]?, _ cache: inout KVCache, _ trace: Trace?,
        last: (any DecoderLayer, Tensor, DecoderStep, LayerKeyValues) -> Tensor
    ) -> Tensor {
        let rotations = rotaryEmbedding(Array(cache.advance(by: inputsEmbeds.rows)))
        let step = DecoderStep(rotations: rotations, skippable: skippable, trace: trace)
        let caches = cache.layers
        return withoutGradients {
            ComputeContext.reusingMemory {
                hiddenStates(inputsEmbeds, step) { layer, index, h in
                    index == layers.count - 1
                        ? last(layer, h, step, caches[index]) : layer(h, step, cache: caches[index])
                }
            }
        }
    }

    /// Final hidden states of whole sequences, with a way back: the form that training uses.
    /// - Parameters:
    ///   - inputsEmbeds: embeddings of the tokens, `[T, D]`.
    ///   - positions: position of each token; by default 0..<T.
    ///   - mask: which tokens each token sees.
    ///   - skippable: tokens that mixture-of-depths layers may skip; nil for none.
    ///   - sequences: sequences that lie one after the other; nil for one. The mask keeps them apart.
    ///   - checkpointing: whether intermediates of a layer are computed again on the way back instead of kept.
    ///   - trace: receives `decoder.hidden.I`, `[1, T, D]`.
    /// - Returns: `[T, D]`, after the final norm.
    public func hiddenStates(
        ofSequence inputsEmbeds: Tensor, positions: [Int]? = nil, mask: AttentionMask = .causal,
        skippable: [Bool]? = nil, sequences: [Range<Int>]? = nil, checkpointing: Bool = false, trace: Trace? = nil
    ) -> Tensor {
        let rotations = rotaryEmbedding(positions ?? Array(0..<inputsEmbeds.rows))
        let step = DecoderStep(
            rotations: rotations, mask: mask, skippable: skippable, sequences: sequences, trace: trace)
        return hiddenStates(inputsEmbeds, step) { layer, _, h in
            guard checkpointing else { return layer(h, step, cache: nil) }
            return checkpointed([h]) { inputs in
                // What runs again must not be recorded in the trace a second time.
                let step = DecoderStep(
                    rotations: rotations, mask: mask, skippable: skippable, sequences: sequences, trace: nil)
                return layer(inputs[0], step, cache: nil)
            }
        }
    }

    private func hiddenStates(
        _ inputsEmbeds: Tensor, _ step: DecoderStep, apply: (any DecoderLayer, Int, Tensor) -> Tensor
    ) -> Tensor {
        let trace = step.trace
        var h = inputsEmbeds  // [T, D]
        for (index, layer) in layers.enumerated() {
            trace?.record("decoder.hidden.\(index)", h.reshaped(to: [1] + h.shape))
            h = apply(layer, index, h)  // [T, D]
        }
        trace?.record("decoder.layer_output.\(layers.count - 1)", h.reshaped(to: [1] + h.shape))
        h = norm(h)
        trace?.record("decoder.hidden.\(layers.count)", h.reshaped(to: [1] + h.shape))
        return h
    }

    /// Logits of the next token after each row of final hidden states, `[T, D]` -> `[T, V]`.
    ///
    /// Native products keep outliers fine, as after every norm.
    public func logits(_ hiddenStates: Tensor) -> Tensor { lmHead(hiddenStates, precision: .fineOutliers) }

    private var rotaryEmbedding: RotaryEmbedding {
        RotaryEmbedding(
            headSize: config.headSize, theta: config.ropeTheta, scalingFactor: config.ropeScalingFactor)
    }
}
