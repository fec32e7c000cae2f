/// How a text is cut into stretches that byte-pair encoding never merges across.
///
/// The published patterns are written out by hand over code points: a regular expression's tables of letters and digits
/// would be the library's, here they are Unicode's properties. Raw values are the names that GGUF files use.
public enum PreTokenizer: String, Sendable, Equatable, CaseIterable {
    /// GPT-2. Source: openai/gpt-2, `src/encoder.py`.
    case gpt2 = "gpt-2"
    /// SmolLM: every digit by itself, and GPT-2's rule between them.
    case smollm
    /// Llama 3: digits in groups of up to three.
    case llama3 = "llama-bpe"
    /// Qwen 2: as Llama 3, but every digit by itself.
    case qwen2

    /// The pre-tokeniser a GGUF file calls `name`; nil for one that is not known here.
    public init?(name: String) {
        switch name {
        case "llama3", "llama-v3": self = .llama3
        default: self.init(rawValue: name)
        }
    }

    /// The regular expression that `tokenizer.json` files hold for the rule.
    var pattern: String {
        switch self {
        case .gpt2, .smollm:
            #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
        case .llama3: Self.modernPattern(digits: #"\p{N}{1,3}"#)
        case .qwen2: Self.modernPattern(digits: #"\p{N}"#)
        }
    }

    private static func modernPattern(digits: String) -> String {
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + digits
            + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }

    /// Gives the byte ranges of the stretches to `body`, in order; together they cover the text. O(n).
    func forEachStretch(of text: ClassifiedText, _ body: (Range<Int>) -> Void) {
        func cut(_ range: Range<Int>, _ end: (PatternMatcher, Int) -> Int) {
            let matcher = PatternMatcher(text: text, limit: range.upperBound)
            var position = range.lowerBound
            while position < range.upperBound {
                let next = end(matcher, position)
                body(text.byteRange(position..<next))
                position = next
            }
        }
        let whole = text.kinds.indices
        switch self {
        case .gpt2: cut(whole) { $0.classicEnd(from: $1) }
        case .llama3: cut(whole) { $0.modernEnd(from: $1, digits: 3) }
        case .qwen2: cut(whole) { $0.modernEnd(from: $1, digits: 1) }
        case .smollm:
            var start = 0
            for index in whole where text.kinds[index] == .number {
                cut(start..<index) { $0.classicEnd(from: $1) }
                body(text.byteRange(index..<index + 1))
                start = index + 1
            }
            cut(start..<whole.upperBound) { $0.classicEnd(from: $1) }
        }
    }
}
