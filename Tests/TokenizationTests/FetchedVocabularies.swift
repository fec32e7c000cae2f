import Foundation
import TestSupport
import Testing
import Tokenization

/// `tokenizer/smollm2.json` of the golden set, and the vocabulary its ids were recorded with.
struct SmolLM2: Decodable {
    struct Model: Decodable {
        let path_in_wheel: String
        let sha256: String
    }
    struct Case: Decodable {
        let text: String
        let ids: [Int]
        let ids_special: [Int]
        let decoded: String
    }
    let model: Model
    let gguf_meta: [String: Metadata]
    let vocab_size: Int
    let num_merges: Int
    let control_tokens: [String: Int]
    let bytes_without_token: [UInt8]
    let cases: [Case]

    /// A value of the file's metadata; only strings are looked at.
    struct Metadata: Decodable {
        let string: String?
        init(from decoder: any Decoder) throws {
            string = try? decoder.singleValueContainer().decode(String.self)
        }
    }

    static func read() throws -> SmolLM2 {
        try Golden.read(SmolLM2.self, Fixtures.golden.appending(path: "tokenizer/smollm2.json"))
    }

    private var file: URL {
        Fixtures.cache.appending(path: model.sha256)
            .appending(path: URL(filePath: model.path_in_wheel).lastPathComponent)
    }

    /// Whether the model file was fetched; says how to fetch it where it was not.
    static let isFetched: Bool = {
        guard let file = try? read().file else { return false }
        if FileManager.default.fileExists(atPath: file.path) { return true }
        print("SmolLM2 is not tested: run scripts/fetch-golden-assets --smollm2 (98 MB)")
        return false
    }()

    /// Reads the vocabulary from the fetched file.
    func vocabulary() throws -> PlainVocabulary {
        try GGUFMetadata(contentsOf: file).vocabulary(source: file.lastPathComponent)
    }

    /// The tokenizer, made once for all tests.
    static let tokenizer = Result { try ByteLevelBPETokenizer(read().vocabulary()) }
}

/// The vocabularies that llama.cpp tests its tokenizers with, each with texts and their ids.
struct LlamaCppVocabulary {
    let name: String

    private static let directory = Fixtures.cache.appending(path: "llama-vocab")
    private var file: URL { Self.directory.appending(path: "ggml-vocab-\(name).gguf") }

    /// Whether the vocabularies were fetched; says how to fetch them where they were not.
    static let areFetched: Bool = {
        let names = ["llama-spm", "llama-bpe", "gpt-2", "qwen2"]
        let files = names.map { LlamaCppVocabulary(name: $0).file.path }
        if files.allSatisfy(FileManager.default.fileExists(atPath:)) { return true }
        print("llama.cpp's vocabularies are not tested: run scripts/fetch-vocab-vectors (77 MB)")
        return false
    }()

    func metadata() throws -> GGUFMetadata { try GGUFMetadata(contentsOf: file) }

    func vocabulary() throws -> PlainVocabulary { try metadata().vocabulary(source: file.lastPathComponent) }

    /// The texts and the ids that are expected for them.
    func cases() throws -> [(text: String, ids: [Int])] {
        let input = String(decoding: try Data(contentsOf: file.appendingPathExtension("inp")), as: UTF8.self)
        let output = String(decoding: try Data(contentsOf: file.appendingPathExtension("out")), as: UTF8.self)
        var texts = input.components(separatedBy: "\n__ggml_vocab_test__\n")
        if texts.last == "" { texts.removeLast() }
        var lines = output.components(separatedBy: "\n")
        if lines.last == "" { lines.removeLast() }
        try #require(texts.count == lines.count)
        return zip(texts, lines).map { ($0, $1.split(separator: " ").compactMap { Int($0) }) }
    }
}
