import Foundation
import TestSupport
import Testing

@testable import Tokenization

@Suite("Reading tokenizer.json")
struct TokenizerJSONTests {
    private func read(_ json: [String: Any]) throws -> any Tokenizer {
        let data = try JSONSerialization.data(withJSONObject: json)
        return try PlainVocabulary(tokenizerJSON: data, file: "tokenizer.json").tokenizer()
    }

    /// A tiny file with one value replaced; the path's parts are keys, or places in arrays.
    private func changed(_ path: String, to value: Any, preTokenizer: PreTokenizer = .gpt2) throws -> [String: Any] {
        func change(_ node: Any?, _ keys: ArraySlice<String>) -> Any {
            guard let key = keys.first else { return value }
            if var array = node as? [Any], let index = Int(key) {
                array[index] = change(array[index], keys.dropFirst())
                return array
            }
            var object = node as? [String: Any] ?? [:]
            object[key] = change(object[key], keys.dropFirst())
            return object
        }
        let json = try TinyByteLevel.json(preTokenizer: preTokenizer)
        return try #require(change(json, path.split(separator: ".").map(String.init)[...]) as? [String: Any])
    }

    @Test("the four kinds are recognised and give the ids of the same plain values", arguments: PreTokenizer.allCases)
    func kinds(preTokenizer: PreTokenizer) throws {
        let tokenizer = try read(TinyByteLevel.json(preTokenizer: preTokenizer))
        let plain = try TinyByteLevel.tokenizer(preTokenizer)
        #expect((tokenizer as? ByteLevelBPETokenizer)?.preTokenizer == preTokenizer)
        #expect(tokenizer.vocabularySize == plain.vocabularySize)
        #expect(tokenizer.specialIDs == plain.specialIDs)
        for text in ["the abc 123 !!", "I'S<|im_end|>\n\n  ab", "日本 é<tool>"] {
            #expect(tokenizer.encode(text) == plain.encode(text))
        }
    }

    @Test("merges may be pairs, and the template of a sequence says what it begins with")
    func variants() throws {
        let pairs = TinyByteLevel.plain(preTokenizer: .gpt2).merges.map { $0.pieces(separatedBy: " ") }
        #expect(try read(changed("model.merges", to: pairs)).encode("the") == TinyByteLevel.tokenizer().encode("the"))
        let processor: [String: Any] = [
            "type": "Sequence",
            "processors": [
                ["type": "ByteLevel"],
                [
                    "type": "TemplateProcessing",
                    "single": [["SpecialToken": ["id": "<|im_start|>"]], ["Sequence": ["id": "A"]]],
                ],
            ],
        ]
        let tokenizer = try read(changed("post_processor", to: processor))
        #expect(tokenizer.addsBOS)
        #expect(tokenizer.encode("").first == 1)
        #expect(tokenizer.eosID == nil)
    }

    @Test(
        "files of other kinds are refused by what makes them so",
        arguments: [
            ("model.type", "Unigram", "Unigram"), ("model.byte_fallback", "true", "tokenizer.model"),
            ("model.end_of_word_suffix", "\"</w>\"", "</w>"), ("model.dropout", "0.1", "dropout"),
            ("normalizer", #"{"type": "Lowercase"}"#, "Lowercase"), ("decoder", #"{"type": "WordPiece"}"#, "WordPiece"),
            ("pre_tokenizer", #"{"type": "Whitespace"}"#, "Whitespace"), ("pre_tokenizer", "null", "pre_tokenizer"),
            ("pre_tokenizer.use_regex", "false", "ByteLevel"), ("model.unk_token", "\"a\"", "bytes have no token"),
            ("model.unk_token", "\"nowhere\"", "nowhere"), ("added_tokens.0.single_word", "true", "single_word"),
            ("added_tokens.0.id", "-1", "-1"), ("added_tokens.0.id", "99999999", "99999999"),
            ("added_tokens.0.id", "1.5", "added_tokens.0.id"), ("model.vocab.x", "7", "belongs to two"),
            ("model.vocab", "[]", "model.vocab"), ("model.merges.0", "5", "model.merges"),
            ("model.merges.0", "\"x\"", "merge 0"),
        ])
    func refusals(path: String, value: String, mention: String) throws {
        let value =
            try value == "Unigram"
            ? "Unigram"
            : JSONSerialization.jsonObject(
                with: Data(value.utf8), options: .fragmentsAllowed)
        let json = try changed(path, to: value)
        let error = #expect(throws: TokenizationError.self) { try read(json) }
        #expect(error?.description.contains(mention) == true, "\(String(describing: error))")
        #expect(error?.description.contains("tokenizer.json") == true)
    }

    @Test("a pattern that is none of the known ones is refused and shown")
    func pattern() throws {
        let json = try changed("pre_tokenizer.pretokenizers.0.pattern.Regex", to: "[a-z]+", preTokenizer: .llama3)
        let error = #expect(throws: TokenizationError.self) { try read(json) }
        #expect(error?.description.contains("[a-z]+") == true)
    }

    @Test("damaged files are refused or read, and never crash", .tags(.property), arguments: [UInt64](1...6))
    func mutations(seed: UInt64) throws {
        let kinds = PreTokenizer.allCases
        let sound = try JSONSerialization.data(
            withJSONObject: TinyByteLevel.json(preTokenizer: kinds[Int(seed) % kinds.count]), options: .sortedKeys)
        var generator = SeededGenerator(seed: seed)
        var refused = 0
        for round in 0..<400 {
            var bytes = [UInt8](sound)
            switch round % 4 {
            case 0: bytes.removeLast(Int.random(in: 1..<bytes.count, using: &generator))
            case 1:
                let start = Int.random(in: 0..<bytes.count, using: &generator)
                bytes.removeSubrange(start..<min(bytes.count, start + Int.random(in: 1...40, using: &generator)))
            default:
                for _ in 0...Int.random(in: 0...3, using: &generator) {
                    let place = Int.random(in: 0..<bytes.count, using: &generator)
                    let telling = Array("0123456789-\"[]{},: \\u".utf8)
                    bytes[place] =
                        round % 4 == 2
                        ? .random(in: 0...255, using: &generator) : telling.randomElement(using: &generator) ?? 0
                }
            }
            do {
                let tokenizer = try PlainVocabulary(tokenizerJSON: Data(bytes), file: "tokenizer.json").tokenizer()
                let ids = tokenizer.encode("the <|im_end|> abc 123\n日本")
                _ = try tokenizer.decode(ids)
                #expect(ids.allSatisfy { $0 < tokenizer.vocabularySize })
            } catch {
                refused += 1
            }
        }
        #expect(refused > 100)
    }

    @Test("a file nested without end is refused", arguments: ["pretokenizers", "normalizers"])
    func nesting(key: String) throws {
        let open = String(repeating: #"{"type": "Sequence", "\#(key)": ["#, count: 100_000)
        let data =
            Data(#"{"model": {"type": "BPE", "vocab": {}, "merges": []}, "pre_tokenizer": "#.utf8) + Data(open.utf8)
        #expect(throws: TokenizationError.self) {
            try PlainVocabulary(tokenizerJSON: data, file: "tokenizer.json").tokenizer()
        }
        let close = String(repeating: "]}", count: 100_000)
        #expect(throws: TokenizationError.self) {
            try PlainVocabulary(tokenizerJSON: data + Data((close + "}").utf8), file: "tokenizer.json").tokenizer()
        }
    }

    @Test("a directory without tokenizer.model is read from tokenizer.json and the names beside it")
    func directory() throws {
        let directory = try Fixtures.temporaryDirectory()
        func write(_ json: Any, _ name: String) throws {
            try JSONSerialization.data(withJSONObject: json).write(to: directory.appending(path: name))
        }
        #expect(throws: TokenizationError.self) { try TokenizerDirectory.tokenizer(in: directory) }
        try write(TinyByteLevel.json(preTokenizer: .smollm), "tokenizer.json")
        try write(
            ["bos_token": "<|im_start|>", "eos_token": ["content": "<|im_end|>"], "chat_template": "x"],
            "tokenizer_config.json")
        let tokenizer = try TokenizerDirectory.tokenizer(in: directory)
        #expect(tokenizer.bosID == 1)
        #expect(tokenizer.eosID == 2)
        #expect(!tokenizer.addsBOS)
        #expect(try TokenizerDirectory.chatTemplate(in: directory) == "x")
        try write(["bos_token": "<|nowhere|>"], "tokenizer_config.json")
        let error = #expect(throws: TokenizationError.self) { try TokenizerDirectory.tokenizer(in: directory) }
        #expect(error?.description.contains("<|nowhere|>") == true)
        #expect(try TokenizerDirectory.tokenizer(in: TinyModel.directory) is LlamaTokenizer)
    }
}
