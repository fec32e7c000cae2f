/// A prompt that remembers which of its text is the template's own and which somebody wrote.
///
/// Control tokens are recognised in the template's text only: `<|im_end|>` typed by a user stays the characters it is,
/// and nothing that straddles the two becomes a control token either. Everything else is encoded as one text, so that a
/// prompt without control tokens in what was written has the ids of its string.
public struct PromptText: Sendable, Equatable {
    /// A stretch of one origin.
    public struct Part: Sendable, Equatable {
        /// The text.
        public internal(set) var text: String
        /// Whether the text is the template's own, in which control tokens count.
        public let isTemplate: Bool

        /// Whether origin and code points are the same.
        public static func == (a: Self, b: Self) -> Bool {
            a.isTemplate == b.isTemplate && a.text.hasSameScalars(b.text)
        }
    }

    /// The stretches in order; none is empty, and neighbours differ in origin.
    public private(set) var parts: [Part] = []

    /// An empty prompt.
    public init() {}

    /// A text in which control tokens count.
    public init(template text: String) { append(template: text) }

    /// A text in which nothing is a control token.
    public init(quoting text: String) { append(quoting: text) }

    /// Adds text of the template, in which control tokens count.
    public mutating func append(template text: String) { append(Part(text: text, isTemplate: true)) }

    /// Adds text that somebody wrote, in which nothing is a control token.
    public mutating func append(quoting text: String) { append(Part(text: text, isTemplate: false)) }

    /// Adds a stretch.
    mutating func append(_ part: Part) {
        if part.text.isEmpty { return }
        if parts.last?.isTemplate == part.isTemplate {
            parts[parts.count - 1].text += part.text
        } else {
            parts.append(part)
        }
    }

    /// The whole text.
    public var string: String { parts.map(\.text).joined() }

    /// Whether there is no text.
    public var isEmpty: Bool { parts.isEmpty }

    /// The prompts between occurrences of `separator`, empty ones included; one that straddles two stretches is none.
    func pieces(separatedBy separator: String) -> [PromptText] {
        var pieces = [PromptText()]
        for part in parts {
            for (index, text) in part.text.pieces(separatedBy: separator).enumerated() {
                if index > 0 { pieces.append(PromptText()) }
                pieces[pieces.count - 1].append(Part(text: text, isTemplate: part.isTemplate))
            }
        }
        return pieces
    }

    /// The same with every stretch's text replaced.
    func map(_ transform: (String) -> String) -> PromptText {
        parts.reduce(into: PromptText()) {
            $0.append(Part(text: transform($1.text), isTemplate: $1.isTemplate))
        }
    }

    /// The same without the code points at its start that satisfy `isStripped`.
    func strippedAtStart(of isStripped: (Unicode.Scalar) -> Bool) -> PromptText {
        var result = PromptText()
        for part in parts {
            let text = result.isEmpty ? part.text.strippedAtStart(of: isStripped) : part.text
            result.append(Part(text: text, isTemplate: part.isTemplate))
        }
        return result
    }
}
