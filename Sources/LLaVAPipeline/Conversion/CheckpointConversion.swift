import Foundation
import LanguageDecoder
public import ModelFiles
public import Tensors
import Tokenization

/// A checkpoint written again in another format or element type.
///
/// What is written follows from the names: `X.gguf` gets the decoder with its tokenizer, `X.safetensors` the tensors
/// alone, and a directory everything that Hugging Face's libraries expect of a model.
public struct CheckpointConversion {
    /// What was read.
    public let source: CheckpointDirectory
    /// Tensors of the source that the target has no place for, by name.
    public private(set) var leftOut: [String] = []
    /// Names of the files that were written.
    public private(set) var files: [String] = []

    private let progress: WeightsProgress.Observer

    /// Element types that can be written.
    public static let types: [ElementType] = [.float32, .float16, .q8_0, .q4_0]

    /// Converts the checkpoint at `path`.
    /// - Parameters:
    ///   - target: must not exist yet.
    ///   - type: of the matrices; nil keeps the source's, and turns blocks into float32 where the format has none.
    ///   - overrides: values that replace those of config.json in a directory. Keys of a mixture of depths make one of a
    ///     dense decoder, see `MixtureOfDepthsConversion`.
    ///   - progress: is told how far it has come.
    /// - Throws: `CheckpointError`, `QuantizationError`, `LLaVAError` or `TokenizationError` if the source cannot be read,
    ///   has no place in the target's format, or if a file cannot be written.
    public init(
        _ path: String, to target: String, as type: ElementType?, overrides: [(key: String, value: String)] = [],
        progress: @escaping WeightsProgress.Observer = { _ in }
    ) throws {
        self.progress = progress
        guard !FileManager.default.fileExists(atPath: target) else {
            throw CheckpointError.unwritable(path: target, reason: "it exists already; name another")
        }
        if let type, !Self.types.contains(type) {
            throw CheckpointError.unwritable(
                path: target,
                reason:
                    "\(type.rawValue) cannot be written; types: \(Self.types.map(\.rawValue).joined(separator: ", "))")
        }
        source = try CheckpointDirectory(path: path)
        let name = URL(filePath: target).lastPathComponent
        let isFile = name.hasSuffix(".gguf") || name.hasSuffix(".safetensors")
        guard overrides.isEmpty || !isFile && source.gguf == nil && source.files.first?.format != .onnx else {
            throw LLaVAError.unusedOption(
                path: target, reason: "values of config.json are replaced from one model's directory to another")
        }
        if name.hasSuffix(".gguf") {
            try writeGGUF(target, type)
        } else if name.hasSuffix(".safetensors") {
            try write(source.gguf == nil ? source.tensors : decoder().tensors, type, to: target)
        } else if source.files.first?.format == .onnx {
            let conversion = try Dinov2Conversion(ONNXFile(path: source.path))
            leftOut = conversion.leftOut
            try conversion.write(to: target)
            files = ["config.json", "model.safetensors", "preprocessor_config.json"]
        } else {
            try writeDirectory(URL(filePath: target), type, overrides)
        }
    }
}

// MARK: - GGUF

extension CheckpointConversion {
    private mutating func writeGGUF(_ target: String, _ type: ElementType?) throws {
        let (config, tensors) = try decoder()
        var metadata: [String: GGUFValue]
        switch try TokenizerFiles.Location(of: source) {
        case .gguf(let file): metadata = Self.words(of: file)
        case .directory(let directory):
            metadata = try TokenizerDirectory.vocabulary(in: directory).ggufMetadata
            if let template = try TokenizerDirectory.chatTemplate(in: directory) {
                metadata["tokenizer.chat_template"] = .string(template)
            }
            metadata["general.name"] = .string(directory.lastPathComponent)
        }
        let matrices = tensors.values.filter { $0.rank == 2 }
        let kept = matrices.first.map(\.elementType).flatMap { Self.types.contains($0) ? $0 : nil }
        try GGUFCheckpoint.write(
            config, tensors, as: type ?? kept ?? .float16, metadata: metadata, to: target, progress: progress)
        files = [URL(filePath: target).lastPathComponent]
    }

    /// The metadata of a file that is not about its tensors.
    private static func words(of file: GGUFFile) -> [String: GGUFValue] {
        file.metadata.filter { key, _ in
            key.hasPrefix("tokenizer.") || key.hasPrefix("general.") && !typeKeys.contains(key)
        }
    }

    /// What a file says of its own element types.
    private static let typeKeys = ["general.file_type", "general.quantization_version", "general.architecture"]

    /// The source's decoder; what belongs to other parts is left out.
    private mutating func decoder() throws -> (config: LlamaConfig, tensors: [String: Tensor]) {
        if let gguf = source.gguf { return try GGUFCheckpoint(gguf).llama() }
        let config = try source.decodeConfig(LlamaConfig.self)
        switch source.layout {
        case .llama: break
        case .llava(let parts) where parts.mixtureOfDepthsLayers.isEmpty: break
        default:
            throw CheckpointError.unexpectedValue(
                file: source.path, key: "", expected: "a plain LLaMA decoder, which is all that GGUF can hold of it",
                got: "\(source.layout)")
        }
        let isDecoder = { (name: String) in
            name.hasPrefix("model.layers.") || name.hasPrefix("lm_head.") || name.hasPrefix("model.embed_tokens.")
                || name == "model.norm.weight"
        }
        leftOut = source.tensors.keys.filter { !isDecoder($0) }.sorted()
        // Older checkpoints store the frequencies, which follow from the configuration.
        let tensors = source.tensors.filter { isDecoder($0.key) && !$0.key.hasSuffix(".rotary_emb.inv_freq") }
        return (config, tensors)
    }
}

// MARK: - Safetensors

extension CheckpointConversion {
    private mutating func write(_ tensors: [String: Tensor], _ type: ElementType?, to target: String) throws {
        if let type, type.isBlockQuantized {
            throw CheckpointError.unwritable(
                path: target, reason: "safetensors cannot hold \(type.rawValue); write a .gguf file, or F32 or F16")
        }
        let converted = try tensors.converted(
            to: { _, tensor in
                guard tensor.elementType.isFloatingPoint else { return tensor.elementType }
                return type ?? (tensor.elementType.isBlockQuantized ? .float32 : tensor.elementType)
            }, progress: progress)
        try SafetensorsWriter.write(converted, metadata: ["format": "pt"], to: target, progress: progress)
        files.append(URL(filePath: target).lastPathComponent)
    }

    private mutating func writeDirectory(
        _ target: URL, _ type: ElementType?, _ overrides: [(key: String, value: String)]
    ) throws {
        let manager = FileManager.default
        let draft = target.deletingLastPathComponent()
            .appending(path: ".\(target.lastPathComponent).\(UUID().uuidString).partial")
        try manager.createDirectory(at: draft, withIntermediateDirectories: true)
        do {
            let weights = draft.appending(path: "model.safetensors").path
            if let gguf = source.gguf {
                let checkpoint = try GGUFCheckpoint(gguf)
                let (config, tensors) = try checkpoint.llama()
                try write(tensors, type, to: weights)
                try checkpoint.configData(config).write(to: draft.appending(path: "config.json"))
                try GGUFWriter.write(
                    [:],
                    metadata: Self.words(of: gguf).merging([GGUFCheckpoint.architectureKey: .string("llama")]) { $1 },
                    to: draft.appending(path: TokenizerFiles.vocabularyFile).path)
                files += ["config.json", TokenizerFiles.vocabularyFile]
            } else {
                let directory = source.directory
                let names = try manager.contentsOfDirectory(atPath: directory.path).sorted()
                for name in names where Self.isCompanion(name) {
                    try manager.copyItem(at: directory.appending(path: name), to: draft.appending(path: name))
                    files.append(name)
                }
                var tensors = source.tensors
                if !overrides.isEmpty {
                    let config = try ConfigOverrides.apply(overrides, to: source.configData, path: source.path)
                    tensors = try MixtureOfDepthsConversion.tensors(tensors, for: config, of: source)
                    try config.write(to: draft.appending(path: "config.json"), options: .atomic)
                }
                try write(tensors, type, to: weights)
            }
            try manager.moveItem(at: draft, to: target)
        } catch {
            try? manager.removeItem(at: draft)
            throw error
        }
    }

    /// Files and directories beside weights that belong to the model.
    private static func isCompanion(_ name: String) -> Bool {
        let isJSON = name.hasSuffix(".json") && !name.hasSuffix(".index.json")
        return isJSON || ["tokenizer.model", "chat_template.jinja", "vision_tower"].contains(name)
    }
}
