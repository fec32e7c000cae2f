import Bytes
import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import PMoD
import Tensors
import TestSupport
import Tokenization
import VisionEncoder

/// A kind of file from outside, with everything the library does with its bytes before it trusts them.
public enum FuzzTarget: String, CaseIterable, Sendable {
    case safetensors
    case pyTorch = "pytorch"
    case gguf
    case onnx
    case sentencePiece = "sentencepiece"
    case tokenizerJSON = "tokenizer-json"
    /// `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`.
    case tokenizerConfig = "tokenizer-config"
    /// `config.json` and its relatives: models, towers and image processors.
    case json
    /// `model.json` of an assembled model.
    case model
    case png
    case jpeg
    /// `model.safetensors.index.json`.
    case index

    /// Reads bytes as such a file and uses what they hold.
    /// - Throws: the library's own errors; any other is a fault of the library, see `isExpected`.
    public func read(_ bytes: [UInt8]) throws {
        let file = { MemoryMappedFile(copying: bytes, path: "hostile.\(rawValue)") }
        switch self {
        case .safetensors: try Self.use(SafetensorsFile(file()).tensors)
        case .pyTorch: try Self.use(PyTorchArchive(file()).tensors)
        case .gguf: try Self.gguf(GGUFFile(file()))
        case .onnx:
            let model = try ONNXFile(file())
            try Self.use(model.tensors())
            try Self.use(model.weights())
        case .sentencePiece:
            let pieces = try SentencePieceTokenizer(SentencePieceModel(bytes: bytes, file: "hostile.model"))
            try Self.use(LlamaTokenizer(pieces, configuration: LlamaTokenizerConfiguration()))
        case .tokenizerJSON:
            try Self.use(PlainVocabulary(tokenizerJSON: Data(bytes), file: "hostile.json").tokenizer())
        case .tokenizerConfig: try Self.tokenizerConfig(bytes)
        case .json: try Self.json(bytes)
        case .model:
            let model = try AssembledModel(parsing: Data(bytes), file: "model.json")
            for part in [model.decoder, model.visionTower, model.connector] {
                let names = part.files.keys + (part.path.hasPrefix("/") ? [] : [part.path])
                precondition(!names.contains { $0.split(separator: "/").contains("..") }, "\(names)")
            }
        case .png:
            // Few changes leave a checksum right, and libpng looks no further than a wrong one.
            try Self.image(Array(Pictures.repairingChecksums(ofPNG: Data(bytes))))
            try Self.image(bytes)
        case .jpeg: try Self.image(bytes)
        case .index:
            _ = try ShardIndex(
                JSONValue(parsing: bytes, source: "hostile.index.json"), path: "hostile.index.json")
        }
    }

    /// Whether a person can be shown the error: one of the library's own with words in it.
    public static func isExpected(_ error: any Error) -> Bool {
        switch error {
        case let error as CheckpointError: !error.description.isEmpty
        case let error as TokenizationError: !error.description.isEmpty
        case let error as ImageError: !error.description.isEmpty
        case let error as LLaVAError: !error.description.isEmpty
        case let error as LlamaConfigError: !error.description.isEmpty
        case let error as PMoDConfigError: !error.description.isEmpty
        case let error as VisionConfigError: !error.description.isEmpty
        default: false
        }
    }
}

extension FuzzTarget {
    /// Reads every byte of tensors, and tells from their names what model they are.
    private static func use(_ tensors: [String: Tensor]) {
        _ = CheckpointLayout(config: .object([:]), tensorNames: tensors.keys).description
        var sum = 0
        for tensor in tensors.values { tensor.withBytes { sum = $0.reduce(sum) { $0 &+ Int($1) } } }
        withExtendedLifetime(sum) {}
    }

    private static func gguf(_ file: GGUFFile) throws {
        use(file.tensors)
        let checkpoint = try GGUFCheckpoint(file)
        // A model without a vocabulary is still read, and the other way round.
        let vocabulary = Result { try use(checkpoint.vocabulary().tokenizer()) }
        use(try checkpoint.llama().tensors)
        try vocabulary.get()
    }

    /// Reads the bytes as each of the files that say which tokens a SentencePiece model has on top.
    private static func tokenizerConfig(_ bytes: [UInt8]) throws {
        let pieces = try pieces.get()
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        var refusal: (any Error)?
        for name in ["added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"] {
            let file = directory.appending(path: name)
            try Data(bytes).write(to: file)
            refusal = nil
            do {
                let configuration = try LlamaTokenizerConfiguration(directory: directory)
                try use(LlamaTokenizer(pieces, configuration: configuration))
                if let template = try TokenizerDirectory.chatTemplate(in: directory) {
                    _ = try ConversationTemplate.recognized(chatTemplate: template)
                }
            } catch {
                guard isExpected(error) else { throw error }
                refusal = error
            }
            try FileManager.default.removeItem(at: file)
        }
        if let refusal { throw refusal }
    }

    private static let pieces = Result {
        try SentencePieceTokenizer(
            SentencePieceModel(contentsOf: Fixtures.directory.appending(path: "tiny-model/tokenizer.model")))
    }

    /// Encodes and decodes text in which most rules of a tokenizer apply.
    private static func use(_ tokenizer: any Tokenizer) throws {
        for text in ["", " the  quick\u{2581}<|im_end|> abc 123\n\u{65E5}\u{672C}\0</s>"] {
            let ids = tokenizer.encode(text)
            precondition(ids.allSatisfy { (0..<tokenizer.vocabularySize).contains($0) }, "ids \(ids)")
            _ = try tokenizer.decode(ids)
        }
        // Ids that text may never reach.
        _ = try tokenizer.decode(0..<min(tokenizer.vocabularySize, 300), skippingSpecialTokens: false)
    }

    /// Reads a configuration as each kind that there is; the first error is thrown once all were tried.
    private static func json(_ bytes: [UInt8]) throws {
        let data = Data(bytes)
        var refusals: [any Error] = []
        func attempt(_ body: () throws -> Void) {
            do { try body() } catch { refusals.append(error) }
        }
        attempt {
            let value = try JSONValue(parsing: bytes, source: "config.json")
            _ = CheckpointLayout(config: value, tensorNames: ["model.embed_tokens.weight"])
        }
        attempt { _ = try JSONFile.decode(LLaVAConfig.self, from: data, file: "config.json") }
        attempt { _ = try JSONFile.decode(LlamaConfig.self, from: data, file: "config.json") }
        attempt {
            let config = try JSONFile.decode(PMoDConfig.self, from: data, file: "config.json")
            _ = config.retentionRatios(layerCount: 8)
        }
        attempt { _ = try JSONFile.decode(Dinov2Config.self, from: data, file: "config.json") }
        attempt { _ = try JSONFile.decode(CLIPVisionConfig.self, from: data, file: "config.json") }
        attempt { _ = try CLIPImageProcessor(configuration: bytes) }
        attempt { _ = try ImageProcessing(configuration: bytes) }
        if let fault = refusals.first(where: { !isExpected($0) }) ?? refusals.first { throw fault }
    }

    /// Most pixels that are decoded here. Larger pictures are legitimate up to the library's own limit, but a few bytes
    /// of PNG may stand for many pixels, and those would only be slow.
    private static let pixelLimit = 1 << 21

    private static func image(_ bytes: [UInt8]) throws {
        let size = try RGBImage.information(of: bytes).storedSize
        guard size.width * size.height <= pixelLimit else { return }
        let image = try RGBImage(decoding: bytes, orientation: .applyEXIF)
        precondition(image.pixels.count == size.width * size.height * 3)
    }
}
