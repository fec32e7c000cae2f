public import LanguageDecoder
public import ModelFiles
public import Tensors

extension GGUFCheckpoint {
    /// Writes a LLaMA decoder with all its matrices in one type, and otherwise does the same.
    /// - Parameter type: one of `ElementType.writable`.
    public static func write(
        _ config: LlamaConfig, _ tensors: [String: Tensor], as type: ElementType, metadata: [String: GGUFValue] = [:],
        to path: String, progress: WeightsProgress.Observer = { _ in }
    ) throws {
        try write(
            config, tensors, as: DecoderTypes(all: type), metadata: metadata, to: path, progress: progress)
    }

    /// Writes a LLaMA decoder as a GGUF file of architecture `llama`, as llama.cpp reads it, or one with a mixture of
    /// depths as a file of an architecture of ours, which llama.cpp refuses: run without its routers it would say
    /// something else.
    ///
    /// Norms and routers are written in float32, and the rows of the query and key projections in llama.cpp's order. An
    /// untied `lm_head.weight` becomes `output.weight`; a tied one is left out. Tensors are converted one after the
    /// other, as they are written.
    /// - Parameters:
    ///   - tensors: the decoder under the names of Hugging Face, no more and no less.
    ///   - types: what the matrices are stored in.
    ///   - mixture: the keys of the mixture of depths; none for a plain decoder.
    ///   - metadata: further values, which take precedence: the tokenizer, without which llama.cpp loads no model, and
    ///     `general.name`.
    /// - Throws: `CheckpointError` for tensors that are missing, left over or of another shape than the configuration
    ///   says, or that cannot be stored in their type, or if the file cannot be written; `QuantizationError` for rows
    ///   that are not whole blocks.
    public static func write(
        _ config: LlamaConfig, _ tensors: [String: Tensor], as types: DecoderTypes, mixture: MixtureKeys = [:],
        metadata: [String: GGUFValue] = [:], to path: String, progress: WeightsProgress.Observer = { _ in }
    ) throws {
        let routed = routedLayers(config.numHiddenLayers) { tensors[routerPrefix($0) + "weight"] != nil }
        guard routed.isEmpty == mixture.isEmpty else {
            throw CheckpointError.unwritable(
                path: path,
                reason: routed.isEmpty
                    ? "the configuration has a mixture of depths, the tensors have no routers"
                    : "the tensors have routers, the configuration has no mixture of depths")
        }
        var names = huggingFaceNames(layers: config.numHiddenLayers, routed: routed)
        if config.tieWordEmbeddings { names["output.weight"] = nil }
        var remaining = tensors
        if config.tieWordEmbeddings { remaining["lm_head.weight"] = nil }
        var written: [String: PendingTensor] = [:]
        for (name, other) in names {
            guard let tensor = remaining.removeValue(forKey: other) else {
                if name.hasSuffix(".\(routerName).bias") { continue }
                throw CheckpointError.unwritable(path: path, reason: "\(other) is missing")
            }
            let shape = config.shape(of: name)
            guard tensor.shape == shape else {
                throw CheckpointError.unwritable(
                    path: path, reason: "\(other) has shape \(tensor.shape), the configuration wants \(shape)")
            }
            let order = RotaryRowOrder(of: name, config)
            written[name] = try PendingTensor(tensor, as: types.type(of: name, shape: shape)) {
                try order?.interleaved($0, named: other, file: path) ?? $0
            }
        }
        if let name = remaining.keys.min() {
            throw CheckpointError.unwritable(path: path, reason: "\(name) has no place in a LLaMA decoder")
        }
        let own = config.ggufMetadata(architecture: mixture.isEmpty ? plain : mixtureOfDepths, fileType: types.maps)
        let values = own.merging(mixtureMetadata(mixture)) { $1 }.merging(metadata) { $1 }
        try GGUFWriter.write(making: written, metadata: values, to: path, progress: progress)
    }
}

extension LlamaConfig {
    /// The shape of a tensor by llama.cpp's name, one that `GGUFCheckpoint` knows.
    fileprivate func shape(of name: String) -> [Int] {
        let keyValueSize = numKeyValueHeads * headSize
        return switch name.split(separator: ".").dropLast().last {
        case "token_embd", "output": [vocabSize, hiddenSize]
        case "attn_q", "attn_output": [hiddenSize, hiddenSize]
        case "attn_k", "attn_v": [keyValueSize, hiddenSize]
        case "ffn_gate", "ffn_up": [intermediateSize, hiddenSize]
        case "ffn_down": [hiddenSize, intermediateSize]
        case "mod_router": name.hasSuffix(".bias") ? [1] : [1, hiddenSize]
        default: [hiddenSize]
        }
    }

    /// What a GGUF file says about the decoder.
    fileprivate func ggufMetadata(architecture: String, fileType: ElementType) -> [String: GGUFValue] {
        var own: [String: GGUFValue] = [
            "vocab_size": .uint32(UInt32(vocabSize)),
            "context_length": .uint32(UInt32(maxPositionEmbeddings)),
            "embedding_length": .uint32(UInt32(hiddenSize)),
            "block_count": .uint32(UInt32(numHiddenLayers)),
            "feed_forward_length": .uint32(UInt32(intermediateSize)),
            "attention.head_count": .uint32(UInt32(numAttentionHeads)),
            "attention.head_count_kv": .uint32(UInt32(numKeyValueHeads)),
            "attention.layer_norm_rms_epsilon": .float32(rmsNormEps),
            "rope.dimension_count": .uint32(UInt32(headSize)),
            "rope.freq_base": .float32(ropeTheta),
        ]
        if ropeScalingFactor != 1 {
            own["rope.scaling.type"] = .string("linear")
            own["rope.scaling.factor"] = .float32(ropeScalingFactor)
        }
        var values = Dictionary(uniqueKeysWithValues: own.map { ("\(architecture).\($0.key)", $0.value) })
        values[GGUFCheckpoint.architectureKey] = .string(architecture)
        // llama_ftype: what most of the matrices are stored in.
        let types: [ElementType: UInt32] = [
            .float32: 0, .float16: 1, .q4_0: 2, .q4_1: 3, .q8_0: 7, .q5_0: 8, .q5_1: 9, .q4_K: 14, .q5_K: 16, .q6_K: 18,
        ]
        values["general.file_type"] = types[fileType].map { .uint32($0) }
        if fileType.isBlockQuantized { values["general.quantization_version"] = .uint32(2) }
        return values
    }
}
