internal import Foundation
public import LanguageDecoder
public import ModelFiles
public import Tensors

/// A GGUF file read as a model: its metadata as a configuration, its tensors under the names of Hugging Face.
///
/// Source: llama.cpp, `gguf-py/gguf/constants.py` (keys and names) and `convert_hf_to_gguf.py` (order of rows).
public struct GGUFCheckpoint: Sendable {
    /// The file.
    public let file: GGUFFile
    /// `general.architecture`.
    public let architecture: String

    static let architectureKey = "general.architecture"
    /// The architecture of plain decoders.
    static let plain = "llama"
    /// That of decoders with a mixture of depths, a name of ours.
    static let mixtureOfDepths = "pmod-llama"
    /// The architectures that are read.
    public static let decoders: Set = [plain, mixtureOfDepths]

    /// A file that holds a model.
    /// - Throws: `CheckpointError.unexpectedValue` if the file does not say which architecture it is of.
    public init(_ file: GGUFFile) throws {
        self.file = file
        architecture = try Self.value(Self.architectureKey, in: file, "a string", \.string)
    }

    /// The decoder of a file of architecture `llama`, or with a mixture of depths of `pmod-llama`.
    ///
    /// Tensors are in place in the mapping but for the rows of the query and key projections, which llama.cpp stores in
    /// the order of interleaved rotary pairs: what reads their bytes makes a copy in the type they are stored in. (Native
    /// products do not.)
    /// - Throws: `CheckpointError` for an architecture or a value that is not implemented here, or for a tensor without
    ///   a place in the model.
    public func llama() throws -> (config: LlamaConfig, tensors: [String: Tensor]) {
        guard Self.decoders.contains(architecture) else {
            throw CheckpointError.unexpectedValue(
                file: file.path, key: Self.architectureKey,
                expected:
                    "\"\(Self.plain)\", the only architecture read so far, or our own \"\(Self.mixtureOfDepths)\"",
                got: "\"\(architecture)\"")
        }
        let config = try llamaConfig()
        return (config, try llamaTensors(config))
    }

    /// The decoder's configuration as the bytes of a `config.json`.
    func configData(_ config: LlamaConfig) throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        let data = try encoder.encode(
            HuggingFaceConfig(config, eosTokenId: file.metadata["tokenizer.ggml.eos_token_id"]?.integer))
        return try ConfigOverrides.apply(
            mixtureKeys().map { ($0.key, $0.value.json) }, to: data, path: file.path)
    }
}

// MARK: - Configuration

extension GGUFCheckpoint {
    /// Largest extent that a file may name, as in a `config.json`.
    private static let limit = 1 << 20

    private func llamaConfig() throws -> LlamaConfig {
        func integer(_ key: String, _ range: ClosedRange<Int> = 1...Self.limit) throws -> Int {
            let key = "\(architecture).\(key)"
            let value = try Self.value(key, in: file, "an integer", \.integer)
            guard range.contains(value) else { throw unexpected(key, "\(range)", "\(value)") }
            return value
        }
        func number(_ key: String) throws -> Float {
            let key = "\(architecture).\(key)"
            let value = try Self.value(key, in: file, "a number", \.float)
            guard value.isFinite, value >= 0 else { throw unexpected(key, "a finite number of 0 or more", "\(value)") }
            return value
        }
        func has(_ key: String) -> Bool { file.metadata["\(architecture).\(key)"] != nil }

        let hiddenSize = try integer("embedding_length")
        let heads = try integer("attention.head_count")
        let keyValueHeads = has("attention.head_count_kv") ? try integer("attention.head_count_kv") : heads
        guard hiddenSize % heads == 0, hiddenSize / heads % 2 == 0 else {
            throw unexpected(
                "\(architecture).attention.head_count", "a divisor of \(hiddenSize) that leaves heads of even size",
                "\(heads)")
        }
        guard heads % keyValueHeads == 0 else {
            throw unexpected("\(architecture).attention.head_count_kv", "a divisor of \(heads)", "\(keyValueHeads)")
        }
        let headSize = hiddenSize / heads
        for key in ["rope.dimension_count", "attention.key_length", "attention.value_length"] where has(key) {
            let value = try integer(key)
            guard value == headSize else {
                throw unexpected("\(architecture).\(key)", "the head size \(headSize)", "\(value)")
            }
        }
        if has("expert_count"), try integer("expert_count", 0...Self.limit) > 0 {
            throw unexpected("\(architecture).expert_count", "0: mixtures of experts are not implemented", "more")
        }
        let vocabSize = try vocabSize()
        if has("vocab_size"), try integer("vocab_size") != vocabSize {
            throw unexpected(
                "\(architecture).vocab_size", "\(vocabSize), the rows of token_embd.weight", "another number")
        }
        let config = LlamaConfig(
            vocabSize: vocabSize, hiddenSize: hiddenSize, intermediateSize: try integer("feed_forward_length"),
            numHiddenLayers: try integer("block_count", 1...1024), numAttentionHeads: heads,
            numKeyValueHeads: keyValueHeads, maxPositionEmbeddings: try integer("context_length"),
            rmsNormEps: try number("attention.layer_norm_rms_epsilon"),
            ropeTheta: has("rope.freq_base") ? try number("rope.freq_base") : 10_000,
            ropeScalingFactor: try ropeScalingFactor(number),
            tieWordEmbeddings: file.tensors["output.weight"] == nil)
        guard config.ropeTheta > 0 else { throw unexpected("\(architecture).rope.freq_base", "a number above 0", "0") }
        guard config.ropeScalingFactor > 0 else {
            throw unexpected("\(architecture).rope.scaling.factor", "a number above 0", "0")
        }
        return config
    }

    /// Rows of the embedding table.
    private func vocabSize() throws -> Int {
        guard let table = file.tensors["token_embd.weight"], table.rank == 2, (1...Self.limit).contains(table.rows)
        else {
            throw unexpected(
                "token_embd.weight", "a matrix of 1 to \(Self.limit) rows",
                file.tensors["token_embd.weight"].map { "of shape \($0.shape)" } ?? "missing")
        }
        return table.rows
    }

    /// Divisor of positions.
    private func ropeScalingFactor(_ number: (String) throws -> Float) throws -> Float {
        let type = "\(architecture).rope.scaling.type"
        if file.metadata[type] != nil {
            switch try Self.value(type, in: file, "a string", \.string) {
            case "none": return 1
            case "linear": return try number("rope.scaling.factor")
            case let other: throw unexpected(type, "\"none\" or \"linear\"", "\"\(other)\"")
            }
        }
        // Files from before scaling had a type.
        return file.metadata["\(architecture).rope.scale_linear"] == nil ? 1 : try number("rope.scale_linear")
    }

    private func unexpected(_ key: String, _ expected: String, _ got: String) -> CheckpointError {
        .unexpectedValue(file: file.path, key: key, expected: expected, got: got)
    }

    static func value<Value>(
        _ key: String, in file: GGUFFile, _ expected: String, _ read: (GGUFValue) -> Value?
    ) throws -> Value {
        guard let value = file.metadata[key].flatMap(read) else {
            throw CheckpointError.unexpectedValue(
                file: file.path, key: key, expected: expected,
                got: file.metadata[key] == nil ? "missing" : "of another type")
        }
        return value
    }
}

/// The keys of a `config.json` that a decoder's configuration is read from.
private struct HuggingFaceConfig: Encodable {
    struct RopeScaling: Encodable {
        var type = "linear"
        var factor: Float
    }

    var modelType = "llama"
    var vocabSize, hiddenSize, intermediateSize, numHiddenLayers, numAttentionHeads, numKeyValueHeads: Int
    var maxPositionEmbeddings: Int
    var rmsNormEps, ropeTheta: Float
    var ropeScaling: RopeScaling?
    var tieWordEmbeddings: Bool
    var eosTokenId: Int?

    init(_ config: LlamaConfig, eosTokenId: Int?) {
        vocabSize = config.vocabSize
        hiddenSize = config.hiddenSize
        intermediateSize = config.intermediateSize
        numHiddenLayers = config.numHiddenLayers
        numAttentionHeads = config.numAttentionHeads
        numKeyValueHeads = config.numKeyValueHeads
        maxPositionEmbeddings = config.maxPositionEmbeddings
        rmsNormEps = config.rmsNormEps
        ropeTheta = config.ropeTheta
        ropeScaling = config.ropeScalingFactor == 1 ? nil : RopeScaling(factor: config.ropeScalingFactor)
        tieWordEmbeddings = config.tieWordEmbeddings
        self.eosTokenId = eosTokenId
    }
}
