import Foundation
public import ModelFiles
public import Tensors

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
    /// Why llama.cpp refuses the GGUF file that was written; nil if it does not, or none was.
    public private(set) var refusal: String?

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
            let tensors = try source.gguf.map { try GGUFCheckpoint($0).llama().tensors } ?? source.tensors
            try write(tensors, type, to: target)
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
        let decoder = try DecoderExport(of: CheckpointFiles(path: source.path, options: LoadOptions()))
        leftOut = decoder.leftOut
        refusal = decoder.refusal
        let matrices = decoder.tensors.values.filter { $0.rank == 2 }
        let counts = Dictionary(grouping: matrices, by: \.elementType).mapValues(\.count)
        let kept = counts.max { ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue) }?.key
        let standard = kept.flatMap { Self.types.contains($0) ? $0 : nil } ?? .float16
        try decoder.write(to: target, as: DecoderTypes(all: type ?? standard), progress: progress)
        do {
            try decoder.checkWords(of: source, at: target)
        } catch {
            try? FileManager.default.removeItem(atPath: target)
            throw error
        }
        files = [URL(filePath: target).lastPathComponent]
    }
}

// MARK: - Safetensors

extension CheckpointConversion {
    private mutating func write(_ tensors: [String: Tensor], _ type: ElementType?, to target: String) throws {
        if let type, type.isBlockQuantized {
            throw CheckpointError.unwritable(
                path: target, reason: "safetensors cannot hold \(type.rawValue); write a .gguf file, or F32 or F16")
        }
        let pending = try tensors.mapValues { tensor in
            let stored = tensor.elementType
            guard stored.isFloatingPoint else { return PendingTensor(tensor) }
            return try PendingTensor(tensor, as: type ?? (stored.isBlockQuantized ? .float32 : stored))
        }
        try SafetensorsWriter.write(making: pending, metadata: ["format": "pt"], to: target, progress: progress)
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
                    metadata: DecoderExport.words(of: gguf)
                        .merging([GGUFCheckpoint.architectureKey: .string(GGUFCheckpoint.plain)]) { $1 },
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
