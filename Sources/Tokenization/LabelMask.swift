/// Which ids of a training sample are learned: the replies. All others carry the label `ignored`.
///
/// The rules are upstream's to the letter, because released models were trained with them: each round of a conversation is
/// encoded again by itself, the lengths are added up, and where they do not match the whole the sample teaches nothing.
/// Upstream's sums count on LLaMA's tokenizer: a round's BOS stands for the end token of its reply. For tokenizers of other
/// kinds, for which they never add up, the end token is counted itself.
/// Source: haotian-liu/LLaVA v1.2.2 and gordonhu608/MQT-LLaVA, `llava/train/train.py`, `preprocess*`.
public enum LabelMask {
    /// The label of ids that are not learned.
    public static let ignored = -100

    /// A training sample as ids and labels of equal count.
    public struct Sample: Sendable, Equatable {
        /// The rendered conversation.
        public let prompt: String
        /// The ids, `ImagePrompt.imageID` for every image.
        public let ids: [Int]
        /// For every id itself where it is learned, else `ignored`.
        public let labels: [Int]
        /// The sum of the rounds' lengths against the length of the whole, where they differ and all labels are ignored
        /// therefore; nil when all is well.
        public let mismatch: Mismatch?

        /// Two lengths that should be equal.
        public struct Mismatch: Sendable, Equatable {
            /// The sum over the rounds.
            public let counted: Int
            /// The ids of the whole that are not padding.
            public let total: Int
        }
    }

    /// Renders `turns` in `template`, encodes them and masks the labels.
    ///
    /// - Parameters:
    ///   - turns: The conversation; a first turn that is not the human's is left out.
    ///   - template: The template; its style and version decide the rule.
    ///   - hasImage: Whether the sample has an image, so that `<image>` in it is a placeholder and not text.
    ///   - tokenizer: The tokenizer of the model to be trained; the unknown id of
    ///     LLaMA's doubles as padding, as in upstream's training.
    ///   - maximumLength: The longest sequence of the model; samples without an image are cut there.
    /// - Throws: `TokenizationError` for turns out of order, for a caption sample that is not one, and for templates that
    ///   have no masking rule.
    public static func sample(
        of turns: [TrainingTurn], template: ConversationTemplate, hasImage: Bool, tokenizer: any Tokenizer,
        maximumLength: Int = .max
    ) throws(TokenizationError) -> Sample {
        if template.style == .plain { return try caption(turns, template, tokenizer) }
        let rule = try rule(for: template)
        let prompt = try rendered(turns, template)
        func encode(_ text: String) -> [Int] {
            hasImage ? ImagePrompt(text, tokenizer: tokenizer).ids : Array(tokenizer.encode(text).prefix(maximumLength))
        }
        let ids = encode(prompt)
        let lengths = RoundLengths(rule: rule, tokenizer: tokenizer, hasImage: hasImage)
        var labels = ids
        var counted = lengths.start
        labels.ignore(0..<counted)
        for (index, round) in rule.rounds(of: prompt).enumerated() {
            let parts = round.pieces(separatedBy: rule.replyMarker)
            guard !round.isEmpty, parts.count == 2 else { break }
            // Rounds are never cut: upstream encodes them without a limit.
            let length = lengths.of(round, question: parts[0] + rule.replyMarker, isFirst: index == 0)
            labels.ignore(counted..<max(counted, counted + length.instruction))
            counted += length.whole
        }
        labels.ignore(counted..<max(counted, labels.count))
        let padding = (tokenizer as? LlamaTokenizer)?.unkID
        let total = ids.count { $0 != padding }
        guard counted < maximumLength, counted != total else {
            return Sample(prompt: prompt, ids: ids, labels: labels, mismatch: nil)
        }
        labels.ignore(0..<labels.count)
        return Sample(prompt: prompt, ids: ids, labels: labels, mismatch: .init(counted: counted, total: total))
    }

    /// The image and its caption; the caption is learned.
    private static func caption(
        _ turns: [TrainingTurn], _ template: ConversationTemplate, _ tokenizer: any Tokenizer
    ) throws(TokenizationError) -> Sample {
        guard turns.count == 2, turns[0].value.containsExactly(ImagePrompt.imageToken) else {
            throw .invalidTrainingSample(
                template: template.name, turn: 0,
                problem: "a caption sample is two turns, <image> in the first; it has \(turns.count)")
        }
        let prompt = ImagePrompt.imageToken + turns[1].value + template.separator
        let ids = ImagePrompt(prompt, tokenizer: tokenizer).ids
        var labels = ids
        labels.ignore(0..<ImagePrompt(ImagePrompt.imageToken, tokenizer: tokenizer).ids.count)
        return Sample(prompt: prompt, ids: ids, labels: labels, mismatch: nil)
    }

    private static func rendered(
        _ turns: [TrainingTurn], _ template: ConversationTemplate
    ) throws(TokenizationError) -> String {
        var conversation = Conversation(template: template)
        let skipped = turns.first?.from == "gpt" ? 1 : 0
        for (index, turn) in turns.enumerated().dropFirst(skipped) {
            let isUser = (index - skipped) % 2 == 0
            guard turn.from == (isUser ? "human" : "gpt") else {
                throw .invalidTrainingSample(
                    template: template.name, turn: index,
                    problem: "it is from \"\(turn.from)\" where \"\(isUser ? "human" : "gpt")\" is due")
            }
            conversation.append(isUser ? .user : .assistant, turn.value)
        }
        return try conversation.prompt()
    }
}

extension [Int] {
    /// Marks the labels of a range as not learned, as far as the range reaches into them.
    fileprivate mutating func ignore(_ range: Range<Int>) {
        for index in range.clamped(to: indices) { self[index] = LabelMask.ignored }
    }
}
