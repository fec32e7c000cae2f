/// The shape of a LLaMA-family decoder, named as in the `config.json` of Hugging Face.
public struct LlamaConfig: Sendable, Equatable {
    /// Number of tokens, V.
    public var vocabSize: Int
    /// Width of the residual stream, D.
    public var hiddenSize: Int
    /// Width of the feed-forward network.
    public var intermediateSize: Int
    /// Number of layers, L.
    public var numHiddenLayers: Int
    /// Query heads, H, a divisor of D.
    public var numAttentionHeads: Int
    /// Key/value heads, a divisor of H.
    public var numKeyValueHeads: Int
    /// Longest sequence the decoder was made for, in tokens.
    public var maxPositionEmbeddings: Int
    /// What norms add to the mean square.
    public var rmsNormEps: Float
    /// Base of the rotary frequencies.
    public var ropeTheta: Float
    /// Divisor of positions from `rope_scaling` of type linear; 1 without scaling.
    public var ropeScalingFactor: Float
    /// Whether logits come from the embedding table.
    public var tieWordEmbeddings: Bool

    /// A configuration with every value given.
    public init(
        vocabSize: Int, hiddenSize: Int, intermediateSize: Int, numHiddenLayers: Int, numAttentionHeads: Int,
        numKeyValueHeads: Int, maxPositionEmbeddings: Int, rmsNormEps: Float, ropeTheta: Float,
        ropeScalingFactor: Float, tieWordEmbeddings: Bool
    ) {
        self.vocabSize = vocabSize
        self.hiddenSize = hiddenSize
        self.intermediateSize = intermediateSize
        self.numHiddenLayers = numHiddenLayers
        self.numAttentionHeads = numAttentionHeads
        self.numKeyValueHeads = numKeyValueHeads
        self.maxPositionEmbeddings = maxPositionEmbeddings
        self.rmsNormEps = rmsNormEps
        self.ropeTheta = ropeTheta
        self.ropeScalingFactor = ropeScalingFactor
        self.tieWordEmbeddings = tieWordEmbeddings
    }

    /// Size of one attention head, d.
    public var headSize: Int { hiddenSize / numAttentionHeads }
}

extension LlamaConfig: Decodable {
    private enum Key: String, CodingKey, CaseIterable {
        case vocabSize, hiddenSize, intermediateSize, numHiddenLayers, numAttentionHeads, numKeyValueHeads
        case maxPositionEmbeddings, rmsNormEps, ropeTheta, ropeScaling, tieWordEmbeddings
        case hiddenAct, attentionBias, headDim
    }

    private struct RopeScaling: Decodable {
        var type: String?
        var ropeType: String?
        var factor: Float?
    }

    /// Every key of `config.json` that the decoder is made from, converted from snake case.
    public static let keys = Set(Key.allCases.map(\.rawValue))

    /// Reads a configuration whose keys were converted from snake case; keys that are left out take Hugging Face's defaults.
    /// - Throws: `LlamaConfigError` for values this decoder does not compute.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        vocabSize = try values.decode(Int.self, forKey: .vocabSize)
        hiddenSize = try values.decode(Int.self, forKey: .hiddenSize)
        intermediateSize = try values.decode(Int.self, forKey: .intermediateSize)
        numHiddenLayers = try values.decode(Int.self, forKey: .numHiddenLayers)
        numAttentionHeads = try values.decode(Int.self, forKey: .numAttentionHeads)
        numKeyValueHeads = try values.decodeIfPresent(Int.self, forKey: .numKeyValueHeads) ?? numAttentionHeads
        maxPositionEmbeddings = try values.decodeIfPresent(Int.self, forKey: .maxPositionEmbeddings) ?? 2048
        rmsNormEps = try values.decodeIfPresent(Float.self, forKey: .rmsNormEps) ?? 1e-6
        ropeTheta = try values.decodeIfPresent(Float.self, forKey: .ropeTheta) ?? 10_000
        tieWordEmbeddings = try values.decodeIfPresent(Bool.self, forKey: .tieWordEmbeddings) ?? false
        ropeScalingFactor = 1
        if let scaling = try values.decodeIfPresent(RopeScaling.self, forKey: .ropeScaling) {
            let type = scaling.type ?? scaling.ropeType ?? "default"
            guard type == "linear" || type == "default" else {
                throw LlamaConfigError.unsupported(key: "rope_scaling.type", value: type, supported: "linear")
            }
            if type == "linear" { ropeScalingFactor = scaling.factor ?? 1 }
        }
        let activation = try values.decodeIfPresent(String.self, forKey: .hiddenAct) ?? "silu"
        guard activation == "silu" else {
            throw LlamaConfigError.unsupported(key: "hidden_act", value: activation, supported: "silu")
        }
        if try values.decodeIfPresent(Bool.self, forKey: .attentionBias) ?? false {
            throw LlamaConfigError.unsupported(key: "attention_bias", value: "true", supported: "false")
        }
        if let headDim = try values.decodeIfPresent(Int.self, forKey: .headDim),
            headDim != hiddenSize / max(numAttentionHeads, 1)
        {
            throw LlamaConfigError.unsupported(
                key: "head_dim", value: "\(headDim)", supported: "hidden_size / num_attention_heads")
        }
        try validate()
    }

    /// Largest extent that a configuration may name: far above any model, far below overflow.
    private static let limit = 1 << 20

    private func validate() throws {
        let extents = [
            ("vocab_size", vocabSize), ("hidden_size", hiddenSize), ("intermediate_size", intermediateSize),
            ("num_attention_heads", numAttentionHeads), ("num_key_value_heads", numKeyValueHeads),
            ("max_position_embeddings", maxPositionEmbeddings),
        ]
        for (key, value) in extents where !(1...Self.limit).contains(value) {
            throw LlamaConfigError.unsupported(key: key, value: "\(value)", supported: "1...\(Self.limit)")
        }
        guard (1...1024).contains(numHiddenLayers) else {
            throw LlamaConfigError.unsupported(
                key: "num_hidden_layers", value: "\(numHiddenLayers)", supported: "1...1024")
        }
        guard hiddenSize % numAttentionHeads == 0, headSize % 2 == 0 else {
            throw LlamaConfigError.unsupported(
                key: "num_attention_heads", value: "\(numAttentionHeads)",
                supported: "a divisor of hidden_size \(hiddenSize) that leaves heads of even size")
        }
        guard numAttentionHeads % numKeyValueHeads == 0 else {
            throw LlamaConfigError.unsupported(
                key: "num_key_value_heads", value: "\(numKeyValueHeads)",
                supported: "a divisor of num_attention_heads \(numAttentionHeads)")
        }
        guard rmsNormEps.isFinite, rmsNormEps >= 0, ropeTheta.isFinite, ropeTheta > 0, ropeScalingFactor.isFinite,
            ropeScalingFactor > 0
        else {
            throw LlamaConfigError.unsupported(
                key: "rms_norm_eps, rope_theta or rope_scaling.factor",
                value: "\(rmsNormEps), \(ropeTheta), \(ropeScalingFactor)", supported: "finite positive numbers")
        }
    }
}

/// A configuration this decoder cannot compute.
public enum LlamaConfigError: Error, Equatable, CustomStringConvertible {
    /// The key's value is outside what is implemented.
    case unsupported(key: String, value: String, supported: String)

    /// What went wrong, and what to do next.
    public var description: String {
        switch self {
        case .unsupported(let key, let value, let supported):
            "config.json: \(key) is \(value); this decoder computes \(supported)"
        }
    }
}
