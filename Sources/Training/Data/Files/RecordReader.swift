package import Bytes
import ModelFiles
import Tokenization

/// Takes questions and answers out of one record.
package struct RecordReader {
    package let record: JSONValue
    package let file: String
    package let place: String
    /// Whether a question may come without an answer.
    var isAnswerOptional = false

    /// A record of a file.
    package init(record: JSONValue, file: String, place: String, isAnswerOptional: Bool = false) {
        self.record = record
        self.file = file
        self.place = place
        self.isAnswerOptional = isAnswerOptional
    }

    /// What is wrong with the record.
    package func invalid(_ expected: String, _ got: String) -> DataError {
        .invalidExample(file: file, place: place, expected: expected, got: got)
    }

    /// The text under a key.
    package func text(_ key: String, isOptional: Bool = false) throws -> String? {
        guard let value = record[key], !value.isNull else {
            if isOptional { return nil }
            throw invalid("a text under \"\(key)\"", "no such key")
        }
        guard let text = value.string else { throw invalid("a text under \"\(key)\"", value.kind) }
        return text
    }

    /// A question with its answer or answers.
    func question() throws -> QuestionAnswer {
        let question = try text("question") ?? ""
        let answer: String
        var all: [String]?
        if let answers = record["answers"] {
            let texts = answers.array?.compactMap(\.string) ?? []
            guard let first = texts.first, texts.count == answers.array?.count else {
                throw invalid("a list of texts under \"answers\", or a text under \"answer\"", answers.kind)
            }
            (answer, all) = (first, texts)
        } else {
            answer = try text("answer", isOptional: isAnswerOptional) ?? ""
        }
        guard !question.isEmpty, isAnswerOptional || !answer.isEmpty else {
            throw invalid("a question and an answer", "an empty text")
        }
        let asked = Self.withoutImage(question)
        if asked.images > 1 { throw invalid("at most one <image>", "\(asked.images)") }
        if asked.images == 1, record["image"] == nil { throw invalid("an image for <image>", "no key \"image\"") }
        return QuestionAnswer(
            question: asked.text, answer: answer, type: try text("type", isOptional: true) ?? "question", answers: all,
            id: identifier)
    }

    /// What the record is called, under `question_id` or `id`.
    private var identifier: String? { name("question_id") ?? name("id") }

    /// A text or a whole number under a key, as a text.
    package func name(_ key: String) -> String? { record[key]?.string ?? record[key]?.int.map(String.init) }

    /// Turns of `human` and `gpt`; a first turn that is not the human's is left out, as LLaVA does.
    func conversation(hasImage: Bool) throws -> [QuestionAnswer] {
        guard let list = record["conversations"]?.array else {
            throw invalid("a list under \"conversations\"", record["conversations"]?.kind ?? "no such key")
        }
        var turns = try list.enumerated().map { index, turn in
            guard let from = turn["from"]?.string, let value = turn["value"]?.string else {
                throw invalid("texts under \"from\" and \"value\" of turn \(index + 1)", turn.kind)
            }
            return (from: from, value: value)
        }
        if turns.first?.from == "gpt" { turns.removeFirst() }
        guard !turns.isEmpty, turns.count.isMultiple(of: 2) else {
            throw invalid("questions and answers in turn", "\(turns.count) turns")
        }
        let type = try text("type", isOptional: true) ?? "conversation"
        var images = 0
        let asked = try stride(from: 0, to: turns.count, by: 2).map { index in
            for (offset, due) in ["human", "gpt"].enumerated() where turns[index + offset].from != due {
                throw invalid(
                    "\"\(due)\" in turn \(index + offset + 1)", "\"\(turns[index + offset].from)\"")
            }
            let question = Self.withoutImage(turns[index].value)
            let answer = turns[index + 1].value
            if Self.withoutImage(answer).images > 0 {
                throw invalid("<image> in questions only", "it in turn \(index + 2)")
            }
            images += question.images
            return QuestionAnswer(question: question.text, answer: answer, type: type)
        }
        guard images <= (hasImage ? 1 : 0) else {
            throw invalid("as many <image> as pictures (\(hasImage ? 1 : 0))", "\(images)")
        }
        return asked
    }

    /// A text without `<image>`, which a template puts in its place again, and the line breaks around it.
    private static func withoutImage(_ text: String) -> (text: String, images: Int) {
        let parts = text.split(separator: ImagePrompt.imageToken, omittingEmptySubsequences: false)
        guard parts.count > 1 else { return (text, 0) }
        let joined = parts.joined()
        let stripped = joined.drop(while: \.isWhitespace)
        let end = stripped.lastIndex { !$0.isWhitespace }.map { stripped.index(after: $0) } ?? stripped.startIndex
        return (String(stripped[..<end]), parts.count - 1)
    }
}
