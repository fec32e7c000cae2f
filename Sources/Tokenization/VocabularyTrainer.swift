public import Foundation

/// Makes a small byte-level vocabulary from texts, for a model that is trained from scratch.
///
/// All 256 bytes have a token, so that every text can be written. The result is a `tokenizer.json` with GPT-2's
/// pre-tokeniser, which this package and Hugging Face's tokenizers read to the same ids.
public struct VocabularyTrainer: Sendable {
    /// How tokens of several bytes are chosen.
    public enum Kind: String, Sendable, CaseIterable {
        /// The most frequent words with the space before them, as wholes: an answer of one word is one token.
        case words
        /// Byte-pair encoding: the most frequent pair becomes a token, again and again.
        case bytePairs = "byte-pairs"
    }

    /// Control tokens, ids from 0: padding, beginning, end, and ChatML's markers.
    public static let controlTokens = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    /// The fewest tokens of a vocabulary: control tokens and bytes.
    public static let minimumSize = controlTokens.count + 256

    /// How tokens are chosen.
    public let kind: Kind
    /// The most tokens, control tokens and bytes among them.
    public let size: Int
    /// How often every stretch of the texts occurs, by its bytes.
    private var counts: [[UInt8]: Int] = [:]

    /// A trainer for at most `size` tokens, at least `minimumSize`.
    public init(_ kind: Kind, size: Int) {
        precondition(size >= Self.minimumSize, "\(size) tokens, of \(Self.minimumSize) at least")
        self.kind = kind
        self.size = size
    }

    /// Counts the words of a text.
    public mutating func add(_ text: String) {
        let bytes = Array(text.utf8)
        PreTokenizer.gpt2.forEachStretch(of: ClassifiedText(text)) { counts[Array(bytes[$0]), default: 0] += 1 }
    }

    /// The files of the tokenizer by name: `tokenizer.json` and `tokenizer_config.json`. The same texts in any order give
    /// the same bytes. O(size * different words).
    public func files() throws -> [String: Data] {
        let (tokens, merges) = vocabulary()
        var ids: [String: Int] = [:]
        for (id, token) in tokens.enumerated() { ids[token] = id }
        let json = TokenizerFile(
            added_tokens: Self.controlTokens.enumerated().map { .init(id: $0, content: $1) },
            model: .init(ignore_merges: kind == .words, vocab: ids, merges: merges.map { "\($0) \($1)" }))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        return [
            "tokenizer.json": try encoder.encode(json),
            "tokenizer_config.json": try encoder.encode(TokenizerConfigFile()),
        ]
    }

    private func vocabulary() -> (tokens: [String], merges: [(String, String)]) {
        var tokens = Self.controlTokens + ByteAlphabet.scalars.map { String(Character($0)) }
        // By count, then by bytes, never by the order of a hash table.
        let words = counts.sorted { a, b in
            a.value != b.value ? a.value > b.value : a.key.lexicographicallyPrecedes(b.key)
        }
        switch kind {
        case .words:
            let whole = words.filter { $0.key.count > 1 }.prefix(size - tokens.count)
            return (tokens + whole.map { Self.text(of: $0.key) }, [])
        case .bytePairs:
            var known = Set(tokens)
            var merges: [(String, String)] = []
            var parts = words.map { word in (pieces: word.key.map { Self.text(of: [$0]) }, count: word.value) }
            while tokens.count < size, let (a, b) = Self.bestPair(parts) {
                merges.append((a, b))
                if known.insert(a + b).inserted { tokens.append(a + b) }
                for index in parts.indices { Self.merge(a, b, in: &parts[index].pieces) }
            }
            return (tokens, merges)
        }
    }

    /// The most frequent pair of neighbours, the first by text among equals; nil if none occurs twice.
    private static func bestPair(_ parts: [(pieces: [String], count: Int)]) -> (String, String)? {
        struct Pair: Hashable {
            var first: String
            var second: String
        }
        var counts: [Pair: Int] = [:]
        for (pieces, count) in parts {
            for index in pieces.indices.dropLast() {
                counts[Pair(first: pieces[index], second: pieces[index + 1]), default: 0] += count
            }
        }
        func precedes(_ a: Pair, _ b: Pair) -> Bool {
            let (left, right) = (Array(a.first.unicodeScalars), Array(b.first.unicodeScalars))
            if left != right { return left.lexicographicallyPrecedes(right) }
            return a.second.unicodeScalars.lexicographicallyPrecedes(b.second.unicodeScalars)
        }
        let best = counts.max { $0.value != $1.value ? $0.value < $1.value : precedes($1.key, $0.key) }
        guard let best, best.value > 1 else { return nil }
        return (best.key.first, best.key.second)
    }

    private static func merge(_ a: String, _ b: String, in pieces: inout [String]) {
        guard pieces.count > 1 else { return }
        var merged: [String] = []
        var index = 0
        while index < pieces.count {
            if index + 1 < pieces.count, pieces[index] == a, pieces[index + 1] == b {
                merged.append(a + b)
                index += 2
            } else {
                merged.append(pieces[index])
                index += 1
            }
        }
        pieces = merged
    }

    private static func text(of bytes: [UInt8]) -> String {
        var text = ""
        for byte in bytes { text.unicodeScalars.append(ByteAlphabet.scalars[Int(byte)]) }
        return text
    }
}

/// What Hugging Face's tokenizers read.
private struct TokenizerFile: Encodable {
    struct Added: Encodable {
        var id: Int
        var content: String
        var single_word = false
        var lstrip = false
        var rstrip = false
        var normalized = false
        var special = true
    }

    struct ByteLevel: Encodable {
        var type = "ByteLevel"
        var add_prefix_space = false
        var trim_offsets = true
        var use_regex = true
    }

    struct Model: Encodable {
        var type = "BPE"
        var fuse_unk = false
        var byte_fallback = false
        var ignore_merges: Bool
        var vocab: [String: Int]
        var merges: [String]
    }

    struct Name: Encodable {
        var id: String
        var type_id = 0
    }

    struct Piece: Encodable {
        var SpecialToken: Name?
        var Sequence: Name?
    }

    struct Special: Encodable {
        var id = "<s>"
        var ids = [1]
        var tokens = ["<s>"]
    }

    struct Template: Encodable {
        var type = "TemplateProcessing"
        var single = [Piece(SpecialToken: Name(id: "<s>")), Piece(Sequence: Name(id: "A"))]
        var pair = [
            Piece(SpecialToken: Name(id: "<s>")), Piece(Sequence: Name(id: "A")),
            Piece(Sequence: Name(id: "B", type_id: 1)),
        ]
        var special_tokens = ["<s>": Special()]
    }

    var version = "1.0"
    var added_tokens: [Added]
    var pre_tokenizer = ByteLevel()
    var post_processor = Template()
    var decoder = ByteLevel()
    var model: Model
}

private struct TokenizerConfigFile: Encodable {
    var tokenizer_class = "PreTrainedTokenizerFast"
    var bos_token = "<s>"
    var eos_token = "</s>"
    var pad_token = "<pad>"
    var add_bos_token = true
    var add_eos_token = false
}
