public import Tokenization

/// An example as token ids: what comes before and with the image once, then every turn that sees it.
///
/// Each turn is a conversation of its own that begins with the same prefix, so that a model learns from all of them in one
/// pass over the image and answers each as if it had been asked alone.
public struct TokenizedExample: Sendable, Equatable {
    /// Ids up to and with the image's mark; empty for text alone.
    public var prefix: [Int]
    /// What follows in each turn.
    public var turns: [Turn]

    /// What follows the prefix: a question and its answer.
    public struct Turn: Sendable, Equatable {
        /// Token ids.
        public var ids: [Int]
        /// For each id itself where it is learned, else `LabelMask.ignored`.
        public var labels: [Int]
        /// The kind of question.
        public var type: String
    }
}

extension TokenizedExample {
    /// Renders and encodes questions about one image, or about none.
    /// - Throws: `TokenizationError` or `DataError` for a turn that the template cannot write, and
    ///   `DataError.untraceable` if two turns begin differently before the image.
    public init(
        _ questions: [QuestionAnswer], hasImage: Bool, template: ConversationTemplate, tokenizer: any Tokenizer
    ) throws {
        prefix = []
        turns = []
        for (index, question) in questions.enumerated() {
            let asked = (hasImage ? ImagePrompt.imageToken + "\n" : "") + question.question
            let traced = try TracedLabels(
                of: [TrainingTurn(from: "human", value: asked), TrainingTurn(from: "gpt", value: question.answer)],
                template: template, hasImage: hasImage, tokenizer: tokenizer)
            let end = (traced.ids.firstIndex(of: ImagePrompt.imageID) ?? -1) + 1
            let start = Array(traced.ids[..<end])
            guard index == 0 || start == prefix else {
                throw DataError.untraceable(
                    template: template.name, offset: 0, written: "\(start)", expected: "\(prefix) as in the first turn")
            }
            prefix = start
            turns.append(
                Turn(ids: Array(traced.ids[end...]), labels: Array(traced.labels[end...]), type: question.type))
        }
    }
}
