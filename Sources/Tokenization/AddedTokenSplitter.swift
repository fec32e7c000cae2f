/// Cuts added tokens out of a text: leftmost first, and the longest of those that begin at the same place.
///
/// Source: huggingface/transformers v4.36.2, `tokenization_utils.py`, `Trie.split` and `PreTrainedTokenizer.tokenize`.
struct AddedTokenSplitter: Sendable {
    /// A part of a text.
    enum Part: Sendable, Equatable {
        case text(String)
        case token(Int)
    }

    private let tokens: ExactDictionary<(id: Int, token: AddedToken)>
    private let tree: PrefixTree

    /// A splitter of `tokens`, by id.
    init(_ tokens: [Int: AddedToken]) {
        var known = ExactDictionary<(id: Int, token: AddedToken)>()
        for (id, token) in tokens.sorted(by: { $0.key < $1.key }) { known[token.content] = (id, token) }
        self.tokens = known
        tree = PrefixTree(tokens.values.map(\.content))
    }

    /// The parts of `text` in order; no text part is empty.
    func split(_ text: String) -> [Part] { split(PromptText(template: text)) }

    /// The parts of a prompt in order, with tokens cut out of the template's text only.
    func split(_ prompt: PromptText) -> [Part] {
        Self.split(prompt, template: self, quoted: Self([:]))
    }

    /// The parts of a prompt in order: what is cut out of the template's text, and what of text that somebody wrote, are
    /// two sets. Neighbouring text is one part, whatever its origin, and no text part is empty.
    static func split(_ prompt: PromptText, template: Self, quoted: Self) -> [Part] {
        var (strings, isToken) = cut(prompt, template, quoted)
        let tokens = template.tokens
        for index in strings.indices where isToken[index] {
            guard let token = tokens[strings[index]]?.token else { continue }
            let left = index > 0 ? strings[index - 1] : ""
            let right = index + 1 < strings.count ? strings[index + 1] : ""
            if token.stripsRight, !right.isEmpty { strings[index + 1] = right.strippedAtStart() }
            if token.stripsLeft, !left.isEmpty { strings[index - 1] = left.strippedAtEnd() }
            guard token.isSingleWord else { continue }
            if let last = left.unicodeScalars.last, last != " " {
                strings[index - 1] += token.content
                strings[index] = ""
            } else if let first = right.unicodeScalars.first, first != " " {
                strings[index + 1] = token.content + strings[index + 1]
                strings[index] = ""
            }
        }
        // Only what was cut out is a token: a quoted text may well be the same string.
        return strings.indices.lazy.filter { !strings[$0].isEmpty }.map { index in
            isToken[index]
                ? tokens[strings[index]].map { .token($0.id) } ?? .text(strings[index]) : .text(strings[index])
        }
    }

    private static func cut(
        _ prompt: PromptText, _ template: Self, _ quoted: Self
    ) -> (strings: [String], isToken: [Bool]) {
        let bytes = prompt.parts.flatMap(\.text.utf8)
        var strings: [String] = []
        var isToken: [Bool] = []
        var start = 0
        func add(_ range: Range<Int>, isTokenPart: Bool) {
            guard !range.isEmpty else { return }
            strings.append(String(decoding: bytes[range], as: UTF8.self))
            isToken.append(isTokenPart)
        }
        var position = 0
        var end = 0
        for part in prompt.parts {
            end += part.text.utf8.count
            let tree = part.isTemplate ? template.tree : quoted.tree
            if tree.isEmpty { position = end }
            while position < end {
                let length = tree.longestMatch(in: bytes, at: position, end: end)
                if length == 0 {
                    position += 1
                } else {
                    add(start..<position, isTokenPart: false)
                    add(position..<position + length, isTokenPart: true)
                    position += length
                    start = position
                }
            }
        }
        add(start..<bytes.count, isTokenPart: false)
        return (strings, isToken)
    }
}

/// A dictionary whose keys are compared code point by code point, where `String` keys that are canonically equivalent
/// would be one.
struct ExactDictionary<Value> {
    private var values: [[UInt8]: Value] = [:]

    /// An empty dictionary.
    init() {}

    /// A dictionary of pairs, of which the first with a key counts.
    init(_ pairs: [(String, Value)]) {
        for (key, value) in pairs where values[Array(key.utf8)] == nil { values[Array(key.utf8)] = value }
    }

    subscript(key: String) -> Value? {
        get { values[Array(key.utf8)] }
        set { values[Array(key.utf8)] = newValue }
    }
}

extension ExactDictionary: Sendable where Value: Sendable {}

extension String {
    /// Whether both are the same code points, where `==` means canonical equivalence.
    func hasSameScalars(_ other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}
