public import LanguageDecoder
public import ModelFiles
public import Tensors

extension GGUFCheckpoint {
    /// Writes a LLaMA decoder as a GGUF file of architecture `llama`, as llama.cpp reads it.
    ///
    /// Matrices are converted to `type`, norms to float32, and the rows of the query and key projections put in
    /// llama.cpp's order. An untied `lm_head.weight` becomes `output.weight`; a tied one is left out.
    /// - Parameters:
    ///   - tensors: the decoder under the names of Hugging Face, no more and no less.
    ///   - type: float32, float16, Q8_0 or Q4_0.
    ///   - metadata: further values, which take precedence: the tokenizer, without which llama.cpp loads no model, and
    ///     `general.name`.
    /// - Throws: `CheckpointError` for tensors that are missing, left over or of another shape than the configuration
    ///   says, or if the file cannot be written; `QuantizationError` for a tensor that cannot be stored in `type`.
    public static func write(
        _ config: LlamaConfig, _ tensors: [String: Tensor], as type: ElementType, metadata: [String: GGUFValue] = [:],
        to path: String, progress: WeightsProgress.Observer = { _ in }
    ) throws {
        var names = huggingFaceNames(layers: config.numHiddenLayers)
        if config.tieWordEmbeddings { names["output.weight"] = nil }
        var remaining = tensors
        if config.tieWordEmbeddings { remaining["lm_head.weight"] = nil }
        var written: [String: Tensor] = [:]
        for (name, other) in names {
            guard let tensor = remaining.removeValue(forKey: other) else {
                throw CheckpointError.unwritable(path: path, reason: "\(other) is missing")
            }
            let shape = config.shape(of: name)
            guard tensor.shape == shape else {
                throw CheckpointError.unwritable(
                    path: path, reason: "\(other) has shape \(tensor.shape), the configuration wants \(shape)")
            }
            written[name] =
                try RotaryRowOrder(of: name, config)?.interleaved(tensor, named: other, file: path) ?? tensor
        }
        if let name = remaining.keys.min() {
            throw CheckpointError.unwritable(path: path, reason: "\(name) has no place in a plain LLaMA")
        }
        written = try written.converted(to: { $1.rank == 2 ? type : .float32 }, progress: progress)
        let values = config.ggufMetadata(fileType: type).merging(metadata) { $1 }
        try GGUFWriter.write(written, metadata: values, to: path, progress: progress)
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
        default: [hiddenSize]
        }
    }

    /// What a GGUF file says about the decoder.
    fileprivate func ggufMetadata(fileType: ElementType) -> [String: GGUFValue] {
        var values: [String: GGUFValue] = [
            GGUFCheckpoint.architectureKey: .string("llama"),
            "llama.vocab_size": .uint32(UInt32(vocabSize)),
            "llama.context_length": .uint32(UInt32(maxPositionEmbeddings)),
            "llama.embedding_length": .uint32(UInt32(hiddenSize)),
            "llama.block_count": .uint32(UInt32(numHiddenLayers)),
            "llama.feed_forward_length": .uint32(UInt32(intermediateSize)),
            "llama.attention.head_count": .uint32(UInt32(numAttentionHeads)),
            "llama.attention.head_count_kv": .uint32(UInt32(numKeyValueHeads)),
            "llama.attention.layer_norm_rms_epsilon": .float32(rmsNormEps),
            "llama.rope.dimension_count": .uint32(UInt32(headSize)),
            "llama.rope.freq_base": .float32(ropeTheta),
        ]
        if ropeScalingFactor != 1 {
            values["llama.rope.scaling.type"] = .string("linear")
            values["llama.rope.scaling.factor"] = .float32(ropeScalingFactor)
        }
        // llama_ftype: what most of the matrices are stored in.
        let types: [ElementType: UInt32] = [.float32: 0, .float16: 1, .q4_0: 2, .q8_0: 7]
        values["general.file_type"] = types[fileType].map { .uint32($0) }
        if fileType.isBlockQuantized { values["general.quantization_version"] = .uint32(2) }
        return values
    }
}
