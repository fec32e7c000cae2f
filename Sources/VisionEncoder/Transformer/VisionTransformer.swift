public import NeuralNetwork
public import Tensors

/// A vision transformer: patch embedding, then pre-norm blocks of full attention and a two-layer perceptron.
///
/// What makes a family (CLIP, DINOv2, SigLIP) is its configuration and the names of its weights.
///
/// Source: ViT (arXiv 2010.11929); for CLIP, Hugging Face transformers 4.36.2, `modeling_clip.py`; for DINOv2,
/// `modeling_dinov2.py`.
public struct VisionTransformer: Sendable {
    /// The tower's shape.
    public let config: VisionTransformerConfig
    let embeddings: PatchEmbedding
    /// Norm before the first block; CLIP has one.
    let preNorm: LayerNorm?
    let blocks: [VisionTransformerBlock]
    /// Norm after the last block; DINOv2 has one for every token. CLIP's is for its pooled output alone and is not here.
    let postNorm: LayerNorm?

    /// The convolutions in front of the blocks, in order.
    package var convolutions: [Convolution2D.Geometry] {
        (embeddings.stem?.geometries ?? []) + [embeddings.convolution.geometry]
    }

    /// Hidden state `index` of a batch of images, where 0 is the input of the first block and L the output of the last.
    ///
    /// Only the blocks up to `index` are computed, and only the last state is kept; a trace makes all of them run.
    /// - Parameters:
    ///   - pixelValues: normalised images `[B, 3, H, W]`; of any size; positions are interpolated where it is not the tower's own.
    ///   - index: in 0...L, see `VisionTransformerConfig.hiddenStateIndex`.
    ///   - trace: receives `vision.hidden.I` `[B, N + 1, D]` for I in 0...L.
    /// - Returns: `[B, N + 1, D]`, or `[B, N, D]` for a tower without a class token.
    public func hiddenState(_ pixelValues: Tensor, at index: Int, trace: Trace? = nil) -> Tensor {
        precondition((0...blocks.count).contains(index), "hidden state \(index) of \(blocks.count) blocks")
        return ComputeContext.reusingMemory { state(pixelValues, at: index, trace: trace) }
    }

    private func state(_ pixelValues: Tensor, at index: Int, trace: Trace?) -> Tensor {
        var h = embeddings(pixelValues)  // [B, N (+ 1), D]
        if let preNorm { h = preNorm(h) }
        var selected = h
        trace?.record("vision.hidden.0", h)
        for (layer, block) in blocks.enumerated().prefix(trace == nil ? index : blocks.count) {
            h = block(h)
            trace?.record("vision.hidden.\(layer + 1)", h)
            if layer + 1 == index { selected = h }
        }
        return selected
    }

    /// What Hugging Face calls `last_hidden_state`: the output of the last block after the norm that follows it, if the
    /// family has one. `[B, 3, H, W]` -> `[B, N + 1, D]`.
    public func lastHiddenState(_ pixelValues: Tensor, trace: Trace? = nil) -> Tensor {
        let h = hiddenState(pixelValues, at: blocks.count, trace: trace)
        return postNorm?(h) ?? h
    }
}

/// One pre-norm block.
public struct VisionTransformerBlock: Sendable {
    let layerNorm1: LayerNorm
    let selfAttn: VisionAttention
    let layerNorm2: LayerNorm
    let fc1: Linear
    let fc2: Linear
    let activation: Activation
    /// Learned factors on the two branches, nil for a family without.
    var layerScale1, layerScale2: LayerScale?

    /// `[B, N, D]` -> `[B, N, D]`.
    func callAsFunction(_ x: Tensor) -> Tensor {
        let h = added(to: x, layerScale1) { selfAttn(layerNorm1(x), residual: $0) }
        return added(to: h, layerScale2) { fc2(fc1(layerNorm2(h), activation: activation), residual: $0) }
    }

    /// x + scale(branch), where without a scale the branch's last product adds x itself.
    private func added(to x: Tensor, _ scale: LayerScale?, _ branch: (Tensor?) -> Tensor) -> Tensor {
        if let scale { x + scale(branch(nil)) } else { branch(x) }
    }
}

/// Multi-head self-attention in which every token sees every token of its image.
public struct VisionAttention: Sendable {
    let qProj: Linear
    let kProj: Linear
    let vProj: Linear
    let outProj: Linear
    let numAttentionHeads: Int

    /// attention(x) + residual, `[B, N, D]` -> `[B, N, D]`.
    func callAsFunction(_ x: Tensor, residual: Tensor? = nil) -> Tensor {
        let projected = x.mapped(by: qProj, kProj, vProj)
        let (q, k, v) = (projected[0], projected[1], projected[2])
        if isTracking(q, k, v) {
            // One step of the way back for the whole batch instead of one for every image.
            let (images, tokens, size) = (x.shape[0], x.shape[1], x.shape[2])
            func flat(_ x: Tensor) -> Tensor { x.reshaped(to: [images * tokens, size]) }
            let own = (0..<images * tokens).map { $0 / tokens * tokens..<($0 / tokens + 1) * tokens }
            let y = attention(
                queries: flat(q), keys: flat(k), values: flat(v), heads: numAttentionHeads,
                keyValueHeads: numAttentionHeads, mask: .ranges(own))
            return outProj(y.reshaped(to: x.shape), residual: residual)
        }
        let images = (0..<x.shape[0]).map { image in
            attention(
                queries: q[image], keys: k[image], values: v[image], heads: numAttentionHeads,
                keyValueHeads: numAttentionHeads, mask: .full, mayRound: outProj.isRounded(for: x))
        }
        let y = images.count == 1 ? images[0] : Tensor.concatenatingRows(images)
        return outProj(y.reshaped(to: x.shape), residual: residual)
    }
}

extension CLIPImageProcessor {
    /// The patches of a picture of the crop size, as the tower cuts it.
    public func patchGrid(of tower: VisionTransformer) -> PatchGrid {
        PatchGrid(height: cropSize.height / tower.config.patchSize, width: cropSize.width / tower.config.patchSize)
    }
}
