public import NeuralNetwork
public import Tensors

extension VisionTransformer {
    /// Reads a DINOv2 tower under the names of Hugging Face's `Dinov2Model`.
    ///
    /// `embeddings.mask_token` belongs to training and is not asked for. Hidden states are those of the blocks;
    /// `lastHiddenState` has the final norm as well.
    public init(dinov2 config: Dinov2Config, _ weights: WeightReader) {
        let shape = config.transformer
        let size = shape.hiddenSize
        let embeddings = weights.scoped("embeddings")
        let projection = embeddings.scoped("patch_embeddings.projection")
        let geometry = Convolution2D.Geometry(
            channels: shape.numChannels, filters: size, filter: shape.patchSize, stride: shape.patchSize)
        self.config = shape
        self.embeddings = PatchEmbedding(
            convolution: Convolution2D(
                geometry,
                filters: projection.matrix("weight", [size, shape.numChannels, shape.patchSize, shape.patchSize]),
                bias: projection.vector("bias", size)),
            classEmbedding: embeddings.widened("cls_token", [1, 1, size]),
            positionEmbedding: embeddings.widened("position_embeddings", [1, shape.patchCount + 1, size])
                .reshaped(to: [shape.patchCount + 1, size]),
            positionGrid: shape.grid)
        preNorm = nil
        blocks = (0..<shape.numHiddenLayers).map {
            VisionTransformerBlock(dinov2: config, weights.scoped("encoder.layer.\($0)"))
        }
        postNorm = LayerNorm(weights.scoped("layernorm"), size: size, epsilon: shape.layerNormEps)
    }
}

extension VisionTransformerBlock {
    fileprivate init(dinov2 config: Dinov2Config, _ weights: WeightReader) {
        let shape = config.transformer
        let size = shape.hiddenSize
        func linear(_ name: String, _ inputs: Int, _ outputs: Int, hasBias: Bool = true) -> Linear {
            Linear(weights.scoped(name), inputs: inputs, outputs: outputs, hasBias: hasBias)
        }
        layerNorm1 = LayerNorm(weights.scoped("norm1"), size: size, epsilon: shape.layerNormEps)
        layerNorm2 = LayerNorm(weights.scoped("norm2"), size: size, epsilon: shape.layerNormEps)
        selfAttn = VisionAttention(
            qProj: linear("attention.attention.query", size, size, hasBias: config.qkvBias),
            kProj: linear("attention.attention.key", size, size, hasBias: config.qkvBias),
            vProj: linear("attention.attention.value", size, size, hasBias: config.qkvBias),
            outProj: linear("attention.output.dense", size, size), numAttentionHeads: shape.numAttentionHeads)
        fc1 = linear("mlp.fc1", size, shape.intermediateSize)
        fc2 = linear("mlp.fc2", shape.intermediateSize, size)
        activation = shape.hiddenAct
        layerScale1 = LayerScale(weights.scoped("layer_scale1"), size: size)
        layerScale2 = LayerScale(weights.scoped("layer_scale2"), size: size)
    }
}

extension Dinov2Config {
    /// The shape of a DINOv2 tower by its tensors, for weights that come without a configuration.
    ///
    /// - Parameters:
    ///   - tensors: under the names of `Dinov2Model`.
    ///   - numAttentionHeads: leaves no trace in the tensors; nil for heads of size 64, which all published towers have.
    /// - Returns: nil if the tensors are not there or do not fit each other.
    public init?(weights tensors: [String: Tensor], numAttentionHeads: Int? = nil) {
        guard let patch = tensors["embeddings.patch_embeddings.projection.weight"]?.shape, patch.count == 4,
            let positions = tensors["embeddings.position_embeddings"]?.shape, positions.count == 3,
            let intermediate = tensors["encoder.layer.0.mlp.fc1.weight"]?.shape, intermediate.count == 2
        else { return nil }
        let size = patch[0]
        let grid = Int(Double(max(0, positions[1] - 1)).squareRoot().rounded())
        let heads = numAttentionHeads ?? size / 64
        guard patch[1] == 3, patch[2] == patch[3], patch[2] > 0, grid > 0, positions == [1, grid * grid + 1, size],
            heads > 0, size % heads == 0, numAttentionHeads != nil || size % 64 == 0, intermediate[1] == size,
            intermediate[0] > 0
        else { return nil }
        let layerPrefix = "encoder.layer."
        let layers = Set(
            tensors.keys.compactMap { name in
                name.hasPrefix(layerPrefix) ? Int(name.dropFirst(layerPrefix.count).prefix { $0 != "." }) : nil
            })
        self.init(
            transformer: VisionTransformerConfig(
                hiddenSize: size, intermediateSize: intermediate[0], numHiddenLayers: layers.count,
                numAttentionHeads: heads, numChannels: patch[1], imageSize: grid * patch[2], patchSize: patch[2],
                layerNormEps: 1e-6, hiddenAct: .gelu),
            qkvBias: tensors["encoder.layer.0.attention.attention.query.bias"] != nil)
    }

    /// The tensors of a DINOv2 tower that fix all its extents, by name and shape.
    public var anchors: [(name: String, shape: [Int])] {
        let (shape, size) = (transformer, transformer.hiddenSize)
        return [
            (
                "embeddings.patch_embeddings.projection.weight",
                [size, shape.numChannels, shape.patchSize, shape.patchSize]
            ),
            ("embeddings.position_embeddings", [1, shape.patchCount + 1, size]),
            ("encoder.layer.0.mlp.fc1.weight", [shape.intermediateSize, size]),
        ]
    }
}
