public import Bytes
public import Foundation
public import Tensors

/// The weights and the configuration of a model, from a directory or a single file of weights.
///
/// Of several kinds of weights in a directory the first in this order is read: `model.safetensors.index.json`,
/// `model.safetensors`, `pytorch_model.bin.index.json`, `pytorch_model.bin`, shards without an index
/// (`model-*-of-*.safetensors`, then `pytorch_model-*.bin`), adapters (`query_abstractor` and `mm_projector`, each as
/// `.safetensors` or `.bin`), and last the only GGUF or ONNX file, as if it had been given itself. `files` says what was read and what was not.
public struct CheckpointDirectory: Sendable {
    /// A file of weights that was found.
    public struct File: Sendable, Equatable {
        /// What became of the file.
        public enum Use: Sendable, Equatable {
            /// Its tensors were loaded.
            case loaded
            /// It was not opened; the text says why.
            case ignored(String)
        }

        /// Name in the directory.
        public let name: String
        /// Format of its contents; of a file that was not opened, the format its name promises.
        public let format: WeightsFormat
        /// Size of the whole file.
        public let byteCount: Int
        /// Tensors loaded from it.
        public let tensorCount: Int
        /// Whether it was loaded.
        public let use: Use
    }

    /// The directory, or the file of weights, as given.
    public let path: String
    /// The directory, or the one that the file of weights lies in.
    public let directory: URL
    /// `config.json`; an empty object if a single file of weights was given and no `config.json` lies beside it.
    public let config: JSONValue
    /// The bytes of `config.json`; `{}` if there is none.
    public let configData: Data
    /// Where `config.json` lies; nil if there is none.
    public let configPath: String?
    /// All tensors by name, in place in the mapped files.
    public let tensors: [String: Tensor]
    /// The files of weights, those that were loaded first.
    public let files: [File]
    /// What kind of model this is.
    public let layout: CheckpointLayout
    /// The GGUF file that was opened, whose tensors bear the names of llama.cpp; nil for other formats, and for files of
    /// tensors alone.
    public let gguf: GGUFFile?

    /// Opens a directory, or one file of weights beside which a `config.json` may lie; a GGUF file holds its
    /// configuration itself.
    ///
    /// Headers are read and checked completely, elements only when they are used.
    /// - Throws: `CheckpointError`: no weights or `config.json` in a directory, missing shards or tensors, duplicates,
    ///   and everything that can be wrong with a single file.
    public init(path: String) throws {
        var isDirectory: ObjCBool = false
        let exists = !path.utf8.contains(0) && FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
        guard exists else { throw CheckpointError.unreadable(path: path, reason: "no such file or directory") }
        if isDirectory.boolValue {
            try self.init(directory: path)
        } else {
            try self.init(file: path)
        }
    }

    private init(directory: String) throws {
        let entries: [String]
        do {
            entries = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        } catch {
            throw CheckpointError.unreadable(path: directory, reason: error.localizedDescription)
        }
        func path(_ name: String) -> String { URL(filePath: directory).appending(path: name).path }

        let search = try WeightsSearch(directory: directory, entries: entries)
        if search.isSelfContained {
            try self.init(file: path(search.files[0]))
            return
        }
        guard entries.contains("config.json") else {
            throw CheckpointError.missingConfiguration(directory: directory, found: entries)
        }

        var tensors: [String: Tensor] = [:]
        var sources: [String: String] = [:]
        var names: [String: Set<String>] = [:]
        var files: [File] = []
        for name in search.files {
            let file = try TensorFile.read(path: path(name))
            for (tensor, value) in file.tensors {
                if let other = sources.updateValue(name, forKey: tensor) {
                    throw CheckpointError.duplicateTensor(name: tensor, files: [path(other), path(name)])
                }
                tensors[tensor] = value
            }
            names[name] = Set(file.tensors.keys)
            files.append(
                File(
                    name: name, format: file.format, byteCount: file.byteCount, tensorCount: file.tensors.count,
                    use: .loaded))
        }
        try search.index?.check(names)
        for name in search.ignored {
            let attributes = try? FileManager.default.attributesOfItem(atPath: path(name))
            files.append(
                File(
                    name: name, format: name.hasSuffix(".safetensors") ? .safetensors : .pyTorch,
                    byteCount: (attributes?[.size] as? NSNumber)?.intValue ?? 0, tensorCount: 0,
                    use: .ignored("\(search.chosen) comes first")))
        }
        try self.init(
            path: directory, directory: URL(filePath: directory), configPath: path("config.json"), tensors: tensors,
            files: files)
    }

    private init(file path: String) throws {
        let file = try TensorFile.read(path: path)
        let url = URL(filePath: path)
        let configPath = url.deletingLastPathComponent().appending(path: "config.json").path
        let model = file.gguf.flatMap { $0.holdsTensorsAlone ? nil : $0 }
        let hasConfig = model == nil && FileManager.default.fileExists(atPath: configPath)
        try self.init(
            path: path, directory: url.deletingLastPathComponent(), configPath: hasConfig ? configPath : nil,
            tensors: file.tensors, gguf: model,
            files: [
                File(
                    name: url.lastPathComponent, format: file.format, byteCount: file.byteCount,
                    tensorCount: file.tensors.count, use: .loaded)
            ])
    }

    private init(
        path: String, directory: URL, configPath: String?, tensors: [String: Tensor], gguf: GGUFFile? = nil,
        files: [File]
    ) throws {
        guard !tensors.isEmpty else {
            throw CheckpointError.noTensors(
                files: files.filter { $0.use == .loaded }.map { directory.appending(path: $0.name).path })
        }
        let (config, data) = try configPath.map(JSONFile.read) ?? (.object([:]), Data("{}".utf8))
        if let configPath, config.object == nil {
            throw CheckpointError.unexpectedValue(file: configPath, key: "", expected: "an object", got: config.kind)
        }
        self.path = path
        self.directory = directory
        self.config = config
        self.configData = data
        self.configPath = configPath
        self.tensors = tensors
        self.files = files
        self.gguf = gguf
        self.layout =
            gguf.map { .gguf(architecture: $0.metadata["general.architecture"]?.string) }
            ?? CheckpointLayout(config: config, tensorNames: tensors.keys)
    }

    /// Decodes `config.json`; keys such as `hidden_size` fill properties such as `hiddenSize`.
    /// - Throws: `CheckpointError.unexpectedValue` with the path of the key, `.missingConfiguration` if there is none.
    public func decodeConfig<Value: Decodable>(_ type: Value.Type) throws -> Value {
        guard let configPath else {
            throw CheckpointError.missingConfiguration(
                directory: URL(filePath: path).deletingLastPathComponent().path, found: files.map(\.name))
        }
        return try JSONFile.decode(type, from: configData, file: configPath)
    }
}
