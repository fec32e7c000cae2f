import NeuralNetwork
public import Tensors

/// One pre-norm transformer layer: attention, then a gated feed-forward network, each with a residual connection.
///
/// Source: LLaMA (arXiv 2302.13971); Hugging Face transformers 4.36.2, `modeling_llama.py`.
public struct LlamaDecoderLayer: DecoderLayer {
    let inputLayernorm: RMSNorm
    let selfAttn: LlamaAttention
    let postAttentionLayernorm: RMSNorm
    let mlp: LlamaMLP

    /// The layer applied to T new tokens, `[T, D]` -> `[T, D]`; their keys and values enter the cache.
    public func callAsFunction(_ x: Tensor, _ step: DecoderStep, cache: LayerKeyValues?) -> Tensor {
        let h = attended(x, step, cache: cache)  // [T, D]
        return mlp(postAttentionLayernorm(h), residual: h)  // [T, D]
    }

    /// The layer's output for the last of T new tokens, `[T, D]` -> `[1, D]`; the others give only keys and values.
    public func lastState(_ x: Tensor, _ step: DecoderStep, cache: LayerKeyValues) -> Tensor {
        let last = x[x.rows - 1..<x.rows]
        let h = selfAttn.lastState(inputLayernorm(x), step, cache: cache, residual: last)  // [1, D]
        return mlp(postAttentionLayernorm(h), residual: h)
    }

    /// x + attention(norm(x)): the residual stream between the two branches, `[T, D]` -> `[T, D]`.
    public func attended(_ x: Tensor, _ step: DecoderStep, cache: LayerKeyValues?) -> Tensor {
        selfAttn(inputLayernorm(x), step, cache: cache, residual: x)
    }

    /// The feed-forward branch alone, without its residual, `[T, D]` -> `[T, D]`.
    public func feedForward(_ h: Tensor) -> Tensor {
        mlp(postAttentionLayernorm(h))
    }
}

/// Self-attention with rotary positions and grouped queries.
///
/// Both branches add to the residual stream as they leave their last product.
///
/// With a cache, queries read the keys and values in it, which no gradient flows back to; without one, those of the same
/// tokens.
public struct LlamaAttention: Sendable {
    let qProj: Linear
    let kProj: Linear
    let vProj: Linear
    let oProj: Linear
    let numAttentionHeads: Int
    let numKeyValueHeads: Int

    /// residual + attention(x), `[T, D]` -> `[T, D]`.
    func callAsFunction(_ x: Tensor, _ step: DecoderStep, cache: LayerKeyValues?, residual: Tensor) -> Tensor {
        // A norm's weights let few channels stand out, beside which 8 bits lose the others.
        let projected = x.mapped(by: qProj, kProj, vProj, precision: .fineOutliers)
        let (q, k, v) = (step.rotations(projected[0]), step.rotations(projected[1]), projected[2])  // [T, H · K]
        guard let cache else {
            return oProj(
                attention(
                    queries: q, keys: k, values: v, heads: numAttentionHeads, keyValueHeads: numKeyValueHeads,
                    mask: step.mask), residual: residual)
        }
        cache.append(keys: k, values: v)
        return output(of: q, cache, residual)
    }

    /// residual + the attention of the last of T new tokens, `[T, D]` -> `[1, D]`.
    func lastState(_ x: Tensor, _ step: DecoderStep, cache: LayerKeyValues, residual: Tensor) -> Tensor {
        let last = x.rows - 1
        let projected = x.mapped(by: kProj, vProj, precision: .fineOutliers)
        cache.append(keys: step.rotations(projected[0]), values: projected[1])
        let q = qProj(x[last..<x.rows], precision: .fineOutliers)  // [1, H · K]
        return output(of: step.rotations.gathered([last])(q), cache, residual)
    }

    private func output(of queries: Tensor, _ cache: LayerKeyValues, _ residual: Tensor) -> Tensor {
        oProj(
            attention(
                queries: queries, keys: cache.keys, values: cache.values, heads: numAttentionHeads,
                keyValueHeads: numKeyValueHeads, mask: .causal, mayRound: oProj.isRounded(for: queries)),
            residual: residual)
    }
}

/// residual + down(silu(gate(x)) · up(x)).
public struct LlamaMLP: Sendable {
    let gateProj: Linear
    let upProj: Linear
    let downProj: Linear

    func callAsFunction(_ x: Tensor, residual: Tensor? = nil) -> Tensor {
        // Rounded as in attention.
        downProj(x.gated(by: gateProj, upProj, precision: .fineOutliers), residual: residual)
    }
}
