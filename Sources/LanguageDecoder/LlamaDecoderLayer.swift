public import NeuralNetwork
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
    public func callAsFunction(_ x: Tensor, _ step: DecoderStep, cache: LayerKeyValues) -> Tensor {
        let h = attended(x, step.rotations, cache: cache)  // [T, D]
        return h + feedForward(h)  // [T, D]
    }

    /// x + attention(norm(x)): the residual stream between the two branches, `[T, D]` -> `[T, D]`.
    public func attended(_ x: Tensor, _ rotations: Rotations, cache: LayerKeyValues) -> Tensor {
        x + selfAttn(inputLayernorm(x), rotations, cache: cache)
    }

    /// The feed-forward branch alone, without its residual, `[T, D]` -> `[T, D]`.
    public func feedForward(_ h: Tensor) -> Tensor {
        mlp(postAttentionLayernorm(h))
    }
}

/// Causal self-attention with rotary positions and grouped queries.
public struct LlamaAttention: Sendable {
    let qProj: Linear
    let kProj: Linear
    let vProj: Linear
    let oProj: Linear
    let numAttentionHeads: Int
    let numKeyValueHeads: Int

    func callAsFunction(_ x: Tensor, _ rotations: Rotations, cache: LayerKeyValues) -> Tensor {
        let q = rotations(qProj(x))  // [T, H · K]
        cache.append(keys: rotations(kProj(x)), values: vProj(x))
        return oProj(
            attention(
                queries: q, keys: cache.keys, values: cache.values, heads: numAttentionHeads,
                keyValueHeads: numKeyValueHeads, mask: .causal))
    }
}

/// down(silu(gate(x)) · up(x)).
public struct LlamaMLP: Sendable {
    let gateProj: Linear
    let upProj: Linear
    let downProj: Linear

    func callAsFunction(_ x: Tensor) -> Tensor {
        downProj(siluGated(gateProj(x), upProj(x)))
    }
}
