import Foundation

@testable import Tokenization

/// A small byte-level vocabulary made up for tests: all bytes but two, some merges, and three control tokens.
enum TinyByteLevel {
    /// Bytes without a token.
    static let missingBytes: Set<UInt8> = [0x04, 0xF1]

    static let controlTokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

    /// Words whose letters are merged step by step, so that some strings come about in two ways.
    private static let merges: [String] = {
        var merges: [String] = []
        var known = Set<String>()
        func add(_ left: String, _ right: String) {
            let merge = "\(left) \(right)"
            if known.insert(merge).inserted { merges.append(merge) }
        }
        for (left, right) in [
            ("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc"), ("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("!", "!"),
            ("!!", "!"), ("'", "s"), ("Ċ", "Ċ"), ("Ġ", "Ġ"), ("ĠĠ", "ĠĠ"), ("1", "2"), ("12", "3"), ("<", "|"),
            ("|", ">"),
            ("i", "m"), ("<|", "im"), ("Ġ", "abc"), ("å", "ľ"), ("a", "a"), ("aa", "aa"), ("aaaa", "aaaa"),
        ] { add(left, right) }
        return merges
    }()

    static func plain(preTokenizer: PreTokenizer) -> PlainVocabulary {
        var tokens = controlTokens
        for (byte, scalar) in ByteAlphabet.scalars.enumerated() where !missingBytes.contains(UInt8(byte)) {
            tokens.append(String(Character(scalar)))
        }
        for merge in merges {
            let joined = merge.replacing(exactly: " ", with: "")
            if !tokens.contains(where: { $0.hasSameScalars(joined) }) { tokens.append(joined) }
        }
        tokens.append("<tool>")
        var plain = PlainVocabulary(model: "gpt2", tokens: tokens, source: "tiny.gguf")
        plain.preTokenizer = preTokenizer.rawValue
        plain.types = tokens.indices.map { $0 < 3 ? 3 : $0 == tokens.count - 1 ? 4 : 1 }
        plain.merges = merges
        plain.bosID = 1
        plain.eosID = 2
        plain.addsBOS = false
        return plain
    }

    static func tokenizer(_ preTokenizer: PreTokenizer = .gpt2) throws -> ByteLevelBPETokenizer {
        try ByteLevelBPETokenizer(plain(preTokenizer: preTokenizer))
    }

    /// The same vocabulary as a `tokenizer.json`.
    static func json(preTokenizer: PreTokenizer) throws -> [String: Any] {
        let plain = plain(preTokenizer: preTokenizer)
        var vocab: [String: Int] = [:]
        var added: [[String: Any]] = []
        for (id, token) in plain.tokens.enumerated() {
            if plain.types[id] == 1 {
                vocab[token] = id
            } else {
                added.append(["id": id, "content": token, "special": plain.types[id] == 3, "single_word": false])
            }
        }
        let byteLevel: [String: Any] = ["type": "ByteLevel", "add_prefix_space": false, "use_regex": true]
        var last = byteLevel
        last["use_regex"] = false
        func sequence(_ steps: [[String: Any]]) -> [String: Any] { ["type": "Sequence", "pretokenizers": steps] }
        let step: [String: Any] =
            switch preTokenizer {
            case .gpt2: byteLevel
            case .smollm: sequence([["type": "Digits", "individual_digits": true], byteLevel])
            case .llama3, .qwen2:
                sequence([
                    [
                        "type": "Split", "pattern": ["Regex": preTokenizer.pattern], "behavior": "Isolated",
                        "invert": false,
                    ], last,
                ])
            }
        return [
            "version": "1.0", "added_tokens": added, "pre_tokenizer": step, "decoder": ["type": "ByteLevel"],
            "normalizer": preTokenizer == .qwen2 ? ["type": "NFC"] : NSNull(),
            "model": [
                "type": "BPE", "vocab": vocab, "merges": plain.merges, "byte_fallback": false,
                "ignore_merges": preTokenizer == .llama3, "unk_token": NSNull(),
            ] as [String: Any],
        ]
    }
}
