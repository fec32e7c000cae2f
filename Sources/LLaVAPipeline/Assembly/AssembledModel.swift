import Bytes
package import Foundation
public import ModelFiles

/// A model made of parts that lie elsewhere, each in any format that is read: `model.json`, a file of ours.
///
///     {
///       "format": "vlm-assembled-model", "version": 1,
///       "decoder": {"path": "/models/decoder.gguf", "files": {"decoder.gguf": {"bytes": ..., "sha256": "..."}}},
///       "vision_tower": {"path": "/models/vit.onnx", "files": {...}},
///       "connector": {"path": "connector.safetensors", "files": {...}},
///       "lora": {"path": "lora", "files": {...}},        // optional
///       "config": {"mm_vision_select_layer": -3, ...}
///     }
///
/// A relative path leads into the directory of `model.json`; what lies outside has an absolute one. `config` holds the
/// keys of LLaVA's config.json that the decoder's own configuration lacks or gets wrong.
public struct AssembledModel: Sendable, Equatable, Codable {
    /// A directory or a file, and what its files must be.
    public struct Part: Sendable, Equatable, Codable {
        /// Where it lies.
        public var path: String
        /// The files that are read, by their names in the directory.
        public var files: [String: FileDigest]
    }

    /// What the file is, for those who find it.
    public var format = Self.formatName
    /// Version of the format.
    public var version = 1
    /// What reads the prompt and writes the answer.
    public var decoder: Part
    /// What sees images.
    public var visionTower: Part
    /// What lies between the two.
    public var connector: Part
    /// LoRA weights for decoder and connector, in PEFT's form; nil for none.
    public var lora: Part?
    /// Keys of config.json.
    public var config: [String: ConfigValue]

    /// The name of the file in a model's directory.
    public static let fileName = "model.json"
    static let formatName = "vlm-assembled-model"
}

// MARK: - Reading

extension AssembledModel {
    /// Whether a model at `path` is made of parts.
    public static func isAssembled(_ path: String) -> Bool {
        URL(filePath: path).lastPathComponent == fileName
            || FileManager.default.fileExists(atPath: URL(filePath: path).appending(path: fileName).path)
    }

    /// The description at `path`, a directory with a `model.json` or such a file itself; nil if there is none.
    /// - Throws: `CheckpointError` for a file that cannot be read or is no such description.
    static func find(at path: String) throws -> (model: AssembledModel, directory: String)? {
        guard isAssembled(path) else { return nil }
        let url = URL(filePath: path)
        let file = url.lastPathComponent == fileName ? url : url.appending(path: fileName)
        let model = try AssembledModel(parsing: JSONFile.read(file.path).data, file: file.path)
        return (model, file.deletingLastPathComponent().path)
    }

    /// Takes the description that `data` holds, which stands for the file at `path`.
    /// - Throws: `CheckpointError` for what is no such description or names a path that it may not.
    package init(parsing data: Data, file path: String) throws {
        let value = try JSONValue(parsing: [UInt8](data), source: path)
        guard value["format"]?.string == Self.formatName, value["version"]?.int == 1 else {
            throw CheckpointError.unexpectedValue(
                file: path, key: "format", expected: "\"\(Self.formatName)\" of version 1", got: "something else")
        }
        let known: Set = ["format", "version", "decoder", "vision_tower", "connector", "lora", "config"]
        if let key = value.object?.keys.filter({ !known.contains($0) }).min() {
            throw CheckpointError.unexpectedValue(
                file: path, key: key, expected: "one of \(known.sorted().joined(separator: ", "))",
                got: "an unknown key")
        }
        self = try JSONFile.decode(AssembledModel.self, from: data, file: path)
        try checkPaths(file: path)
    }

    /// Throws for a path that leads out of the model's directory without saying so.
    private func checkPaths(file: String) throws {
        let parts = [("decoder", decoder), ("vision_tower", visionTower), ("connector", connector)]
        for (key, part) in parts + (lora.map { [("lora", $0)] } ?? []) {
            let names = [part.path.hasPrefix("/") ? "" : part.path] + part.files.keys.sorted()
            for name in names where name.split(separator: "/").contains("..") || name.utf8.contains(0) {
                throw CheckpointError.unexpectedValue(
                    file: file, key: key, expected: "a path inside the directory of model.json, or an absolute one",
                    got: "\"\(name)\"")
            }
            if part.files.isEmpty {
                throw CheckpointError.unexpectedValue(
                    file: file, key: key + ".files", expected: "the digest of at least one file", got: "none")
            }
        }
    }

    /// How the model is loaded: the decoder's path, and options in which the caller's come first.
    /// - Throws: `LLaVAError.changedPart` if a file is not the one that was assembled.
    func loading(in directory: String, _ options: LoadOptions) throws -> (decoder: String, options: LoadOptions) {
        var known = KnownDigests()
        func located(_ part: Part) throws -> String {
            let path = Self.located(part.path, in: directory)
            try part.check(at: path, &known)
            return path
        }
        var options = options
        options.visionTower = try options.visionTower ?? located(visionTower)
        options.adapter = try options.adapter ?? located(connector)
        if options.lora == nil, options.adaptation == nil { options.lora = try lora.map(located) }
        options.configOverrides =
            config.sorted { $0.key < $1.key }.map { ($0.key, $0.value.json) } + options.configOverrides
        return (try located(decoder), options)
    }

    /// Where the decoder lies.
    func decoderPath(in directory: String) -> String { Self.located(decoder.path, in: directory) }

    static func located(_ path: String, in directory: String) -> String {
        path.hasPrefix("/") ? path : URL(filePath: directory).appending(path: path).path
    }
}

extension AssembledModel.Part {
    /// The part at `path` as it is now.
    init(path: String, recordedAs recorded: String) throws {
        var isDirectory: ObjCBool = false
        _ = FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
        let url = URL(filePath: path)
        let checkpoint = try CheckpointDirectory(path: path)
        var names = checkpoint.files.filter { $0.use == .loaded }.map(\.name)
        if isDirectory.boolValue {
            names += Self.companions.filter { FileManager.default.fileExists(atPath: url.appending(path: $0).path) }
        }
        var files: [String: FileDigest] = [:]
        for name in names {
            files[name] = try FileDigest(of: isDirectory.boolValue ? url.appending(path: name).path : path)
        }
        self.init(path: recorded, files: files)
    }

    /// Files of a directory as they are now.
    init(directory: URL, names: [String], recordedAs recorded: String) throws {
        let digests = try names.map { ($0, try FileDigest(of: directory.appending(path: $0).path)) }
        self.init(path: recorded, files: Dictionary(uniqueKeysWithValues: digests))
    }

    /// Files beside weights that decide what a model computes or says.
    private static let companions = [
        "config.json", "preprocessor_config.json", "tokenizer.model", "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    ]

    fileprivate func check(at path: String, _ known: inout KnownDigests) throws {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw CheckpointError.unreadable(
                path: path, reason: "no such file or directory, but model.json names it; assemble the model anew")
        }
        for (name, expected) in files.sorted(by: { $0.key < $1.key }) {
            let file = isDirectory.boolValue ? URL(filePath: path).appending(path: name).path : path
            let found = try known.digest(of: file)
            guard found == expected else {
                throw LLaVAError.changedPart(
                    path: file, expected: "\(expected.bytes) bytes, sha256 \(expected.sha256)",
                    got: "\(found.bytes) bytes, sha256 \(found.sha256)")
            }
        }
    }
}
