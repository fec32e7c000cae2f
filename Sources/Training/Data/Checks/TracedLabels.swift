public import Tokenization

/// Ids and labels of a conversation, by following every id through the text: learned is what a model must write after
/// the prompt that it is asked with.
///
/// The reply to message k is what the rendered conversation has beyond the prompt that ends with message k - 1 and an
/// empty reply, through the text that stops generation. This needs no rule per template and works for any tokenizer;
/// `LabelMask` counts ids by upstream's rules instead, and `LabelCheck` compares the two.
public struct TracedLabels: Sendable, Equatable {
    /// What an id is part of.
    public enum Role: UInt8, Sendable {
        /// The template, the system's text, a question or an image.
        case context
        /// A reply, or the text that ends one.
        case reply
        /// What the template puts after the end of a reply, such as a line break; nobody has to learn it.
        case tail
    }

    /// The rendered conversation.
    public let prompt: String
    /// The ids, `ImagePrompt.imageID` for every image.
    public let ids: [Int]
    /// What every id is part of.
    public let roles: [Role]

    /// For every id itself where it is learned, else `LabelMask.ignored`.
    public var labels: [Int] { zip(ids, roles).map { $1 == .reply ? $0 : LabelMask.ignored } }
    /// The number of learned ids.
    public var supervisedCount: Int { roles.count { $0 == .reply } }

    /// Renders and encodes turns, and follows the ids.
    ///
    /// Control tokens that are spelled out in what was said stay text here, as they do when a model is asked.
    /// - Parameter hasImage: Whether `<image>` is a placeholder and not text.
    /// - Throws: `TokenizationError` for turns out of order, or `DataError.untraceable` if the vocabulary cannot write
    ///   the text.
    public init(
        of turns: [TrainingTurn], template: ConversationTemplate, hasImage: Bool, tokenizer: any Tokenizer
    ) throws {
        let (text, parts) = try Self.rendered(turns, template)
        prompt = text.string
        ids = hasImage ? ImagePrompt(text, tokenizer: tokenizer).ids : tokenizer.encode(text)
        let offsets: TokenOffsets
        do { offsets = try TokenOffsets(of: ids, in: prompt, tokenizer: tokenizer) } catch {
            guard let error = error as? TokenOffsets.Untraceable else { throw error }
            throw DataError.untraceable(
                template: template.name, offset: error.offset, written: error.written, expected: error.expected)
        }
        roles = offsets.ranges.map { range in
            if parts.contains(where: { $0.reply.overlaps(range) }) { return .reply }
            return parts.contains { $0.tail.overlaps(range) } ? .tail : .context
        }
    }

    /// The bytes of every reply with its end, and of what follows it.
    private typealias Part = (reply: Range<Int>, tail: Range<Int>)

    private static func rendered(
        _ turns: [TrainingTurn], _ template: ConversationTemplate
    ) throws -> (PromptText, [Part]) {
        func refuse(_ turn: Int, _ problem: String) -> TokenizationError {
            .invalidTrainingSample(template: template.name, turn: turn, problem: problem)
        }
        if template.style == .plain {
            guard turns.count == 2 else { throw refuse(0, "a caption sample is two turns; it has \(turns.count)") }
            var text = PromptText(template: ImagePrompt.imageToken)
            let start = text.string.utf8.count
            text.append(quoting: turns[1].value)
            text.append(template: template.separator)
            let end = text.string.utf8.count
            return (text, [(start..<end, end..<end)])
        }
        var conversation = Conversation(template: template)
        var parts: [Part] = []
        let skipped = turns.first?.from == "gpt" ? 1 : 0
        for (index, turn) in turns.enumerated().dropFirst(skipped) {
            let isUser = (index - skipped).isMultiple(of: 2)
            guard turn.from == (isUser ? "human" : "gpt") else {
                throw refuse(index, "it is from \"\(turn.from)\" where \"\(isUser ? "human" : "gpt")\" is due")
            }
            guard !isUser else {
                conversation.append(.user, turn.value)
                continue
            }
            conversation.append(.assistant, nil)
            let asked = Array(try conversation.prompt().utf8)
            conversation.messages[conversation.messages.count - 1].text = turn.value
            let answered = Array(try conversation.prompt().utf8)
            guard answered.starts(with: asked) else {
                throw refuse(index, "the template writes a question differently once it is answered")
            }
            let stop = Array((template.stopText ?? "").utf8)
            let end = Self.end(of: stop, in: answered, from: asked.count) ?? answered.count
            parts.append((asked.count..<end, end..<answered.count))
        }
        return (try conversation.promptText(), parts)
    }

    /// Where the last `stop` in a text ends.
    private static func end(of stop: [UInt8], in text: [UInt8], from start: Int) -> Int? {
        guard !stop.isEmpty, text.count - start >= stop.count else { return nil }
        return (start...text.count - stop.count).last { text[$0...].starts(with: stop) }.map { $0 + stop.count }
    }
}
