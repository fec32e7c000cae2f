import Foundation
import TestSupport
import Testing
import Tokenization

/// The recorded files this target's tests read; only names of files and keys are known here, no case.
enum Golden {
    /// `tokenizer/sentencepiece.json`, and the files that `scripts/make-tiny-tokenizer.py` records.
    struct SentencePiece: Decodable {
        struct Model: Decodable {
            let path_in_wheel: String
            let sha256: String
        }
        struct Spec: Decodable {
            let vocab_size: Int
            let byte_fallback: Bool
            let add_dummy_prefix: Bool
            let remove_extra_whitespaces: Bool
            let escape_whitespaces: Bool
            let unk_id: Int
            let bos_id: Int
            let eos_id: Int
            let pad_id: Int
        }
        struct Case: Decodable {
            let text: String
            let ids: [Int]
            let decoded: String
            let hf_legacy_ids: [Int]?
            let hf_nonlegacy_ids: [Int]?
        }
        struct Decoding: Decodable {
            let ids: [Int]
            let decoded: String
        }
        let model: Model?
        let spec: Spec?
        let cases: [Case]
        let decode_ids: [Decoding]
    }

    /// `prompts/conversations.json`.
    struct Conversations: Decodable {
        struct Mode: Decodable {
            let system: String
            let roles: [String]
            let sep_style: String
            let sep: String
            let sep2: String?
            let version: String
        }
        struct Turn: Decodable {
            let user: String?
            let user_tuple: String?
            let assistant: String?
        }
        struct Case: Decodable {
            let mode: String
            let turns: [Turn]
            let prompt: String?
        }
        let modes: [String: Mode]
        let cases: [Case]
    }

    /// `prompts/tokenized.json`.
    struct Tokenized: Decodable {
        struct Case: Decodable {
            let kind: String
            let legacy: Bool
            let prompt: String?
            let ids: [Int]?
            let version: String?
            let has_image: Bool?
            let source: [TrainingTurn]?
            let after_preprocess_multimodal: [TrainingTurn]?
            let input_ids: [Int]?
            let labels: [Int]?
            let all_ignored: Bool?
        }
        let cases: [Case]
    }

    static func read<Value: Decodable>(_ type: Value.Type, _ url: URL) throws -> Value {
        try JSONDecoder().decode(type, from: Data(contentsOf: url))
    }

    static func sentencePiece() throws -> SentencePiece {
        try read(SentencePiece.self, Fixtures.golden.appending(path: "tokenizer/sentencepiece.json"))
    }

    static func conversations() throws -> Conversations {
        try read(Conversations.self, Fixtures.golden.appending(path: "prompts/conversations.json"))
    }

    static func tokenized() throws -> Tokenized {
        try read(Tokenized.self, Fixtures.golden.appending(path: "prompts/tokenized.json"))
    }

    /// The model that the golden ids were recorded with, found by its sha256 among the fetched files.
    static func tokenizer() throws -> SentencePieceTokenizer {
        let model = try #require(try sentencePiece().model, "sentencepiece.json names no model")
        let name = URL(filePath: model.path_in_wheel).lastPathComponent
        let url = Fixtures.cache.appending(path: model.sha256).appending(path: name)
        try #require(
            FileManager.default.fileExists(atPath: url.path()),
            "\(url.path()) is missing: run scripts/fetch-golden-assets \(Fixtures.golden.path())")
        return try SentencePieceTokenizer(SentencePieceModel(contentsOf: url))
    }

    static func llamaTokenizer(legacy: Bool) throws -> LlamaTokenizer {
        var configuration = LlamaTokenizerConfiguration()
        configuration.legacy = legacy
        configuration.padToken = configuration.unkToken
        return LlamaTokenizer(try tokenizer(), configuration: configuration)
    }
}

/// The small model that ships with the package.
enum TinyModel {
    static let directory = Fixtures.directory.appending(path: "tiny-model")

    static func bytes() throws -> [UInt8] {
        [UInt8](try Data(contentsOf: directory.appending(path: "tokenizer.model")))
    }

    static func tokenizer() throws -> SentencePieceTokenizer {
        try SentencePieceTokenizer(SentencePieceModel(bytes: bytes(), file: "tokenizer.model"))
    }
}

/// Counts the cases that agree and names the first that do not, so that a wrong rule does not print hundreds of lines.
struct Tally {
    private(set) var agreed = 0
    private(set) var failures: [String] = []

    /// Compares code points: `==` on strings would forgive a different normal form.
    mutating func compare(_ got: String, _ expected: String, _ name: @autoclosure () -> String) {
        record(got.unicodeScalars.elementsEqual(expected.unicodeScalars)) {
            "\(name()): \(got.debugDescription) instead of \(expected.debugDescription)"
        }
    }

    mutating func compare(_ got: [Int], _ expected: [Int], _ name: @autoclosure () -> String) {
        record(got == expected) { "\(name()): \(got) instead of \(expected)" }
    }

    mutating func record(_ agrees: Bool, _ failure: () -> String) {
        if agrees { agreed += 1 } else { failures.append(failure()) }
    }

    /// Fails unless exactly `count` cases ran, at least one, and all agreed.
    func expect(_ count: Int, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(count > 0, "no case was there to run", sourceLocation: sourceLocation)
        #expect(
            failures.isEmpty, "\(failures.count) differ: \(failures.prefix(5).joined(separator: "\n"))",
            sourceLocation: sourceLocation)
        #expect(agreed + failures.count == count, "not every case ran", sourceLocation: sourceLocation)
    }
}
