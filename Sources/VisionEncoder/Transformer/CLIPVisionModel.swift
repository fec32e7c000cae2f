public import NeuralNetwork
public import Tensors

/// The CLIP vision tower's configuration: `vision_config` of a whole CLIP model, or the file of the tower alone.
///
/// Source: CLIP (arXiv 2103.00020); defaults of Hugging Face's `CLIPVisionConfig`.
public struct CLIPVisionConfig: Sendable, Equatable, Decodable {
    /// The transformer's shape.
    public let transformer: VisionTransformerConfig

    private enum Key: String, CodingKey {
        case visionConfig, hiddenSize, intermediateSize, numHiddenLayers, numAttentionHeads, numChannels, imageSize
        case patchSize, layerNormEps, hiddenAct
    }

    /// Reads a configuration whose keys were converted from snake case; keys that the file leaves out take Hugging Face's defaults.
    /// - Throws: `VisionConfigError` for values this tower does not compute.
    public init(from decoder: any Decoder) throws {
        var values = try decoder.container(keyedBy: Key.self)
        if values.contains(.visionConfig) {
            values = try values.nestedContainer(keyedBy: Key.self, forKey: .visionConfig)
        }
        func extent(_ key: Key, _ standard: Int) throws -> Int {
            try values.decodeIfPresent(Int.self, forKey: key) ?? standard
        }
        let activation = try values.decodeIfPresent(String.self, forKey: .hiddenAct) ?? "quick_gelu"
        let activations: [String: Activation] = ["quick_gelu": .quickGELU, "gelu": .gelu]
        guard let hiddenAct = activations[activation] else {
            throw VisionConfigError.unsupported(key: "hidden_act", value: activation, supported: "quick_gelu or gelu")
        }
        transformer = VisionTransformerConfig(
            hiddenSize: try extent(.hiddenSize, 768), intermediateSize: try extent(.intermediateSize, 3072),
            numHiddenLayers: try extent(.numHiddenLayers, 12),
            numAttentionHeads: try extent(.numAttentionHeads, 12), numChannels: try extent(.numChannels, 3),
            imageSize: try extent(.imageSize, 224), patchSize: try extent(.patchSize, 32),
            layerNormEps: try values.decodeIfPresent(Float.self, forKey: .layerNormEps) ?? 1e-5,
            hiddenAct: hiddenAct)
        try transformer.validate()
    }
}

extension VisionTransformer {
    /// Reads a CLIP tower under the names of Hugging Face's `CLIPVisionModel`, misspelling included.
    /// - Parameter weights: scoped to `vision_model`.
    public init(clip config: VisionTransformerConfig, _ weights: WeightReader) {
        let size = config.hiddenSize
        let embeddings = weights.scoped("embeddings")
        let geometry = Convolution2D.Geometry(
            channels: config.numChannels, filters: size, filter: config.patchSize, stride: config.patchSize)
        self.config = config
        self.embeddings = PatchEmbedding(
            convolution: Convolution2D(
                geometry,
                filters: embeddings.matrix(
                    "patch_embedding.weight", [size, config.numChannels, config.patchSize, config.patchSize])),
            classEmbedding: embeddings.vector("class_embedding", size),
            positionEmbedding: embeddings.widened("position_embedding.weight", [config.patchCount + 1, size]),
            positionGrid: config.grid)
        preNorm = LayerNorm(weights.scoped("pre_layrnorm"), size: size, epsilon: config.layerNormEps)
        blocks = (0..<config.numHiddenLayers).map {
            VisionTransformerBlock(clip: config, weights.scoped("encoder.layers.\($0)"))
        }
        postNorm = nil
    }
}

extension VisionTransformerConfig {
    /// The shape of a CLIP tower by its tensors, for a checkpoint that holds the tower but not its configuration.
    ///
    /// The number of heads leaves no trace in the tensors; every published CLIP tower has heads of size 64.
    /// - Parameter prefix: what stands before the names of `CLIPVisionModel`, `vision_model` included.
    /// - Returns: nil if the tensors are not there or do not fit each other.
    public init?(clipWeights tensors: [String: Tensor], prefix: String) {
        guard let patch = tensors[prefix + ".embeddings.patch_embedding.weight"]?.shape, patch.count == 4,
            let positions = tensors[prefix + ".embeddings.position_embedding.weight"]?.shape, positions.count == 2,
            let intermediate = tensors[prefix + ".encoder.layers.0.mlp.fc1.weight"]?.shape, intermediate.count == 2
        else { return nil }
        let grid = Int(Double(max(0, positions[0] - 1)).squareRoot().rounded())
        guard patch[2] == patch[3], patch[2] > 0, grid > 0, positions == [grid * grid + 1, patch[0]], patch[0] > 0,
            patch[0] % 64 == 0
        else { return nil }
        let layerPrefix = prefix + ".encoder.layers."
        let layers = Set(
            tensors.keys.compactMap { name in
                name.hasPrefix(layerPrefix) ? Int(name.dropFirst(layerPrefix.count).prefix { $0 != "." }) : nil
            })
        self.init(
            hiddenSize: patch[0], intermediateSize: intermediate[0], numHiddenLayers: layers.count,
            numAttentionHeads: patch[0] / 64, numChannels: patch[1], imageSize: grid * patch[2], patchSize: patch[2],
            layerNormEps: 1e-5, hiddenAct: .quickGELU)
    }

    /// The tensors of a CLIP tower that fix all its extents, by name and shape.
    public var clipAnchors: [(name: String, shape: [Int])] {
        [
            ("embeddings.patch_embedding.weight", [hiddenSize, numChannels, patchSize, patchSize]),
            ("embeddings.position_embedding.weight", [patchCount + 1, hiddenSize]),
            ("encoder.layers.0.mlp.fc1.weight", [intermediateSize, hiddenSize]),
        ]
    }
}

extension VisionTransformerBlock {
    /// Reads a block under CLIP's names.
    init(clip config: VisionTransformerConfig, _ weights: WeightReader) {
        let size = config.hiddenSize
        func linear(_ name: String, _ inputs: Int, _ outputs: Int) -> Linear {
            Linear(weights.scoped(name), inputs: inputs, outputs: outputs, hasBias: true)
        }
        layerNorm1 = LayerNorm(weights.scoped("layer_norm1"), size: size, epsilon: config.layerNormEps)
        layerNorm2 = LayerNorm(weights.scoped("layer_norm2"), size: size, epsilon: config.layerNormEps)
        selfAttn = VisionAttention(
            qProj: linear("self_attn.q_proj", size, size), kProj: linear("self_attn.k_proj", size, size),
            vProj: linear("self_attn.v_proj", size, size), outProj: linear("self_attn.out_proj", size, size),
            numAttentionHeads: config.numAttentionHeads)
        fc1 = linear("mlp.fc1", size, config.intermediateSize)
        fc2 = linear("mlp.fc2", config.intermediateSize, size)
        activation = config.hiddenAct
    }
}
