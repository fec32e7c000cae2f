import Tensors

/// The configuration of a DINOv2 vision tower, the `config.json` of Hugging Face's `Dinov2Model`.
///
/// Source: DINOv2 (arXiv 2304.07193); defaults of Hugging Face's `Dinov2Config`. Keys of training alone (`drop_path_rate`,
/// `layerscale_value`, `initializer_range`) do not change what is computed and are not read.
public struct Dinov2Config: Sendable, Equatable, Decodable {
    /// The transformer's shape. Its image size is that of the learned positions; images may have any other.
    public var transformer: VisionTransformerConfig
    /// Whether query, key and value have biases.
    public var qkvBias: Bool

    private enum Key: String, CodingKey {
        case modelType, hiddenSize, mlpRatio, numHiddenLayers, numAttentionHeads, numChannels, imageSize, patchSize
        case layerNormEps, hiddenAct, qkvBias, useSwigluFfn
    }

    /// A configuration of the given shape.
    public init(transformer: VisionTransformerConfig, qkvBias: Bool = true) {
        self.transformer = transformer
        self.qkvBias = qkvBias
    }

    /// Reads a configuration whose keys were converted from snake case; keys that the file leaves out take Hugging
    /// Face's defaults.
    /// - Throws: `VisionConfigError` for values this tower does not compute.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        func extent(_ key: Key, _ standard: Int, atMost limit: Int = 1 << 20) throws -> Int {
            let value = try values.decodeIfPresent(Int.self, forKey: key) ?? standard
            guard (1...limit).contains(value) else {
                throw VisionConfigError.unsupported(key: key.rawValue, value: "\(value)", supported: "1...\(limit)")
            }
            return value
        }
        if let type = try values.decodeIfPresent(String.self, forKey: .modelType), type != "dinov2" {
            throw VisionConfigError.unsupported(key: "model_type", value: type, supported: "dinov2")
        }
        if try values.decodeIfPresent(Bool.self, forKey: .useSwigluFfn) == true {
            throw VisionConfigError.unsupported(key: "use_swiglu_ffn", value: "true", supported: "false")
        }
        let activation = try values.decodeIfPresent(String.self, forKey: .hiddenAct) ?? "gelu"
        guard activation == "gelu" else {
            throw VisionConfigError.unsupported(key: "hidden_act", value: activation, supported: "gelu")
        }
        let hiddenSize = try extent(.hiddenSize, 768)
        let ratio = try values.decodeIfPresent(Double.self, forKey: .mlpRatio) ?? 4
        guard ratio > 0, ratio <= 1024, Int(Double(hiddenSize) * ratio) > 0 else {
            throw VisionConfigError.unsupported(
                key: "mlp_ratio", value: "\(ratio)", supported: "above 0 and at most 1024")
        }
        transformer = VisionTransformerConfig(
            hiddenSize: hiddenSize, intermediateSize: Int(Double(hiddenSize) * ratio),
            numHiddenLayers: try extent(.numHiddenLayers, 12), numAttentionHeads: try extent(.numAttentionHeads, 12),
            numChannels: try extent(.numChannels, 3), imageSize: try extent(.imageSize, 224, atMost: 1 << 14),
            patchSize: try extent(.patchSize, 16, atMost: 1 << 14),
            layerNormEps: try values.decodeIfPresent(Float.self, forKey: .layerNormEps) ?? 1e-6, hiddenAct: .gelu)
        qkvBias = try values.decodeIfPresent(Bool.self, forKey: .qkvBias) ?? true
        guard hiddenSize % transformer.numAttentionHeads == 0 else {
            throw VisionConfigError.unsupported(
                key: "num_attention_heads", value: "\(transformer.numAttentionHeads)",
                supported: "a divisor of hidden_size \(hiddenSize)")
        }
        guard transformer.numChannels == 3, transformer.patchSize <= transformer.imageSize else {
            throw VisionConfigError.unsupported(
                key: "num_channels, patch_size, image_size",
                value: "\(transformer.numChannels), \(transformer.patchSize), \(transformer.imageSize)",
                supported: "3 channels, a patch within the image")
        }
    }
}
