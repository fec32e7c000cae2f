import NeuralNetwork
import Tensors

/// The configuration of a hybrid tower: a stem of overlapping convolutions, then the blocks of a vision transformer.
///
///     {"model_type": "hybrid_vit", "stem_channels": [32, 64, 96], "hidden_size": 160, "num_hidden_layers": 3, ...}
///
/// n stem layers and the patch projection, itself a 3 x 3 window at stride 2, halve the picture n + 1 times: a patch is
/// 2ⁿ⁺¹ pixels wide. There is no class token. A form of ours.
public struct HybridVisionConfig: Sendable, Equatable, Decodable {
    /// What `model_type` says.
    public static let modelType = "hybrid_vit"

    /// The transformer's shape.
    public let transformer: VisionTransformerConfig
    /// Channels after each layer of the stem.
    public let stemChannels: [Int]

    private enum Key: String, CodingKey {
        case modelType, stemChannels, hiddenSize, intermediateSize, numHiddenLayers, numAttentionHeads, imageSize
        case layerNormEps
    }

    /// Reads a configuration whose keys were converted from snake case.
    /// - Throws: `VisionConfigError` for values that no tower can have.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        let type = try values.decode(String.self, forKey: .modelType)
        guard type == Self.modelType else {
            throw VisionConfigError.unsupported(key: "model_type", value: type, supported: Self.modelType)
        }
        stemChannels = try values.decode([Int].self, forKey: .stemChannels)
        guard (1...6).contains(stemChannels.count), stemChannels.allSatisfy({ (1...4096).contains($0) }) else {
            throw VisionConfigError.unsupported(
                key: "stem_channels", value: "\(stemChannels)", supported: "1 to 6 numbers of 1...4096")
        }
        transformer = VisionTransformerConfig(
            hiddenSize: try values.decode(Int.self, forKey: .hiddenSize),
            intermediateSize: try values.decode(Int.self, forKey: .intermediateSize),
            numHiddenLayers: try values.decode(Int.self, forKey: .numHiddenLayers),
            numAttentionHeads: try values.decode(Int.self, forKey: .numAttentionHeads), numChannels: 3,
            imageSize: try values.decode(Int.self, forKey: .imageSize), patchSize: 2 << stemChannels.count,
            layerNormEps: try values.decodeIfPresent(Float.self, forKey: .layerNormEps) ?? 1e-6, hiddenAct: .gelu,
            hasClassToken: false)
        try transformer.validate()
        guard transformer.imageSize.isMultiple(of: transformer.patchSize) else {
            throw VisionConfigError.unsupported(
                key: "image_size", value: "\(transformer.imageSize)",
                supported: "a multiple of \(transformer.patchSize), the patch of \(stemChannels.count) stem layers")
        }
    }

    /// The tensors that fix all extents, by name and shape.
    public var anchors: [(name: String, shape: [Int])] {
        let size = transformer.hiddenSize
        return [
            ("embeddings.stem.0.convolution.weight", [stemChannels[0], 3, 3, 3]),
            ("embeddings.projection.weight", [size, stemChannels[stemChannels.count - 1], 3, 3]),
            ("embeddings.position_embedding.weight", [transformer.patchCount, size]),
            ("encoder.layers.0.mlp.fc1.weight", [transformer.intermediateSize, size]),
        ]
    }
}
