import Bytes
import Foundation
import LanguageDecoder
public import ModelFiles
import PMoD
public import Tensors
import Tokenization
import VisionEncoder

/// A model written again with its weights rounded, each part to a type of its own.
///
/// A model that sees becomes a directory in the form of an assembled model, which needs nothing else:
///
///     model.json                        the parts with their digests, and the keys of config.json
///     decoder.gguf                      with tokenizer and chat template; llama.cpp reads it too
///     vision_tower/                     config.json, preprocessor_config.json, model.safetensors or model.gguf
///     connector.safetensors             as it was
///     lora/                             if the model has adapters
///
/// A decoder becomes a file of its own, `NAME.gguf`. Weights are converted one after the other, as they are written.
public struct ModelQuantization {
    /// What the parts are stored in.
    public struct Types: Sendable, Equatable {
        /// Of the decoder.
        public var decoder: DecoderTypes
        /// Of the linear maps of the vision tower; nil for what they are stored in.
        public var encoder: ElementType?

        /// Types of both parts.
        public init(decoder: DecoderTypes, encoder: ElementType? = nil) {
            (self.decoder, self.encoder) = (decoder, encoder)
        }
    }

    /// The files of weights.
    public private(set) var files: [WrittenFile] = []
    /// What a person should know, a sentence each.
    public private(set) var notes: [String] = []

    private let options: LoadOptions
    private let types: Types
    private let progress: WeightsProgress.Observer
    private let source: LLaVAModel
    private let checkpoint: CheckpointFiles

    /// Writes the model at `path` to `target`, reads it back, and only then gives it its name.
    /// - Parameters:
    ///   - target: must not exist yet: `NAME.gguf` for the decoder alone, or a directory for a model that sees.
    ///   - template: name of the conversation template that is recorded; nil for the one that the model is used with.
    ///   - progress: is told how far it has come.
    /// - Throws: the error of loading the model, `LLaVAError.unusedOption` for what the target has no place for,
    ///   `CheckpointError` or `QuantizationError` for what cannot be written.
    public init(
        _ path: String, to target: String, as types: Types, options: LoadOptions = LoadOptions(),
        template: String? = nil, progress: @escaping WeightsProgress.Observer = { _ in }
    ) throws {
        guard !FileManager.default.fileExists(atPath: target) else {
            throw CheckpointError.unwritable(path: target, reason: "it exists already; name another")
        }
        let assembled = try AssembledModel.find(at: path)
        let (decoderPath, resolved) =
            try assembled.map { try $0.model.loading(in: $0.directory, options) } ?? (path, options)
        (self.options, self.types, self.progress) = (resolved, types, progress)
        source = try LLaVAModel.load(from: path, options: options)
        checkpoint = try CheckpointFiles(path: decoderPath, options: resolved)

        let decoder = try DecoderExport(of: checkpoint)
        let url = URL(filePath: target)
        if url.pathExtension == "gguf" {
            try refuseUnused(template, target)
            try write(decoder, to: url)
            noteLeftOut(decoder)
        } else if let vision = source.vision {
            try writeDirectory(decoder, vision, template: template, to: url)
        } else {
            throw CheckpointError.unwritable(
                path: target, reason: "a decoder alone becomes one file; call it \(url.lastPathComponent).gguf")
        }
        noteTypes(decoder)
    }

    /// Throws for what a file of the decoder alone has no place for.
    private func refuseUnused(_ template: String?, _ target: String) throws {
        let reason = "\(target) takes the decoder alone; name a directory for the whole model"
        if let lora = options.lora { throw LLaVAError.unusedOption(path: lora, reason: reason) }
        if types.encoder != nil { throw LLaVAError.unusedOption(path: "the type of the vision tower", reason: reason) }
        if let template { throw LLaVAError.unusedOption(path: "template \(template)", reason: reason) }
    }
}

// MARK: - Writing

extension ModelQuantization {
    /// Writes a decoder's file beside its final name, reads it back and renames it.
    private mutating func write(_ decoder: DecoderExport, to url: URL) throws {
        let draft = url.deletingLastPathComponent()
            .appending(path: ".\(url.deletingPathExtension().lastPathComponent).\(UUID().uuidString).partial.gguf")
        do {
            try decoder.write(to: draft.path, as: types.decoder, progress: progress)
            try check(decoder, at: draft, named: url.lastPathComponent)
            let written = try LLaVAModel.load(from: draft.path).config
            guard written.llama == source.config.llama, written.pmod == source.config.pmod else {
                throw Self.changed(url.path)
            }
            try FileManager.default.moveItem(at: draft, to: url)
        } catch {
            try? FileManager.default.removeItem(at: draft)
            throw error
        }
    }

    private mutating func writeDirectory(
        _ decoder: DecoderExport, _ vision: LLaVAModel.Vision, template: String?, to target: URL
    ) throws {
        let manager = FileManager.default
        let draft = target.deletingLastPathComponent()
            .appending(path: ".\(target.lastPathComponent).\(UUID().uuidString).partial")
        try manager.createDirectory(at: draft, withIntermediateDirectories: true)
        do {
            let decoderFile = draft.appending(path: "decoder.gguf")
            try decoder.write(to: decoderFile.path, as: types.decoder, progress: progress)
            try check(decoder, at: decoderFile, named: "decoder.gguf")
            try write(VisionTowerExport(of: vision, in: checkpoint.directory), in: draft)
            try writeConnector(in: draft)
            let model = AssembledModel(
                decoder: try .init(path: decoderFile.path, recordedAs: "decoder.gguf"),
                visionTower: try .init(path: draft.appending(path: "vision_tower").path, recordedAs: "vision_tower"),
                connector: try .init(
                    path: draft.appending(path: Self.connectorFile).path, recordedAs: Self.connectorFile),
                lora: try copyAdapters(to: draft), config: try configuration(template))
            try model.write(in: draft)
            let written = try LLaVAModel.load(from: draft.path)
            var expected = source.config
            expected.conversationTemplate = written.config.conversationTemplate
            guard written.config == expected, written.vision?.imageProcessor == vision.imageProcessor,
                written.vision?.tower.config == vision.tower.config, written.vision?.grid == vision.grid
            else { throw Self.changed(target.path) }
            try manager.moveItem(at: draft, to: target)
        } catch {
            try? manager.removeItem(at: draft)
            throw error
        }
    }

    private static let connectorFile = "connector.safetensors"

    private static func changed(_ path: String) -> CheckpointError {
        .unwritable(
            path: path, reason: "read back, it describes another model; this is a mistake of ours, please report it")
    }

    /// Reads a decoder's file and compares it with what it was made of.
    private mutating func check(_ decoder: DecoderExport, at url: URL, named name: String) throws {
        try decoder.checkWords(of: checkpoint.directory, at: url.path)
        let file = try GGUFFile(path: url.path)
        var originals = decoder.tensors
        if decoder.config.tieWordEmbeddings { originals["lm_head.weight"] = nil }
        files.append(
            try WrittenFile(
                name: name, bytes: Self.byteCount(of: url), GGUFCheckpoint(file).llama().tensors, of: originals,
                path: url.path))
    }

    private mutating func write(_ tower: VisionTowerExport, in draft: URL) throws {
        let directory = draft.appending(path: "vision_tower")
        let name = try tower.write(to: directory, as: types.encoder, progress: progress)
        let written = try CheckpointDirectory(path: directory.path)
        files.append(
            try WrittenFile(
                name: "vision_tower/\(name)", bytes: Self.byteCount(of: directory.appending(path: name)),
                written.tensors, of: tower.tensors, path: directory.path))
    }

    /// The connector as it is stored, and the line break of LLaVA-NeXT with it.
    private mutating func writeConnector(in draft: URL) throws {
        let prefixes = ["model.query_abstractor.", "model.mm_projector.", "model.image_newline"]
        let tensors = checkpoint.tensors.filter { name, _ in prefixes.contains(where: name.hasPrefix) }
        let url = draft.appending(path: Self.connectorFile)
        try SafetensorsWriter.write(tensors, metadata: ["format": "pt"], to: url.path)
        files.append(
            try WrittenFile(
                name: Self.connectorFile, bytes: Self.byteCount(of: url), SafetensorsFile(path: url.path).tensors,
                of: tensors, path: url.path))
    }

    private func copyAdapters(to draft: URL) throws -> AssembledModel.Part? {
        guard let source = options.lora else { return nil }
        let target = draft.appending(path: "lora")
        try FileManager.default.createDirectory(at: target, withIntermediateDirectories: true)
        let present = try FileManager.default.contentsOfDirectory(atPath: source)
        let names = present.filter {
            ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"].contains($0)
        }
        for name in names {
            try FileManager.default.copyItem(atPath: source + "/" + name, toPath: target.appending(path: name).path)
        }
        return try AssembledModel.Part(directory: target, names: names, recordedAs: "lora")
    }

    private static func byteCount(of url: URL) throws -> Int { try MemoryMappedFile(path: url.path).byteCount }

    /// The keys of config.json that the decoder's file does not hold itself.
    private func configuration(_ template: String?) throws -> [String: AssembledModel.ConfigValue] {
        let inFile = Set(LlamaConfig.keys.map(ConfigurationKey.snakeCase)).union(GGUFCheckpoint.mixtureNames)
        var keys: [String: AssembledModel.ConfigValue] = [:]
        for (key, value) in try checkpoint.config.object ?? [:]
        where LLaVAConfig.keys.contains(key) && !inFile.contains(key) {
            keys[key] = AssembledModel.ConfigValue(value)
        }
        // Upstream chooses by the name of a directory, which is another one now.
        let isNamed = if case .llava = source.layout { true } else { template != nil }
        if isNamed {
            keys["conversation_template"] = .string(
                try Assistant(source, templateName: template).template.template.name)
        }
        return keys
    }
}

// MARK: - Notes

extension ModelQuantization {
    private mutating func noteLeftOut(_ decoder: DecoderExport) {
        guard let first = decoder.leftOut.first else { return }
        notes.append(
            "left out \(decoder.leftOut.count) tensors that are not the decoder's, such as \(first); "
                + "name a directory for the whole model")
    }

    private mutating func noteTypes(_ decoder: DecoderExport) {
        if let refusal = decoder.refusal { notes.append(refusal) }
        var rounded: Set<String> = []
        var replaced: [ElementType: Set<ElementType>] = [:]
        for (name, tensor) in decoder.tensors where tensor.rank == 2 && !name.contains(".router.") {
            let isWord = ["model.embed_tokens.weight", "lm_head.weight"].contains(name)
            let wanted = isWord ? types.decoder.words : types.decoder.maps
            let stored = wanted.fitting(tensor.shape)
            if stored != wanted { replaced[wanted, default: []].insert(stored) }
            if tensor.elementType.isBlockQuantized && stored != tensor.elementType {
                rounded.insert(tensor.elementType.rawValue)
            }
        }
        if !rounded.isEmpty {
            notes.append(
                "the source is rounded already, to \(rounded.sorted().joined(separator: ", ")): "
                    + "rounding the original weights would lose less")
        }
        for (wanted, types) in replaced.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            let names = types.map(\.rawValue).sorted().joined(separator: " or ")
            notes.append(
                "rows that are not multiples of \(wanted.blockCount) cannot be \(wanted.rawValue); they are \(names)")
        }
    }
}
