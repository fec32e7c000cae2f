/// One turn of a conversation in LLaVA's training data: `{"from": "human", "value": "..."}`.
public struct TrainingTurn: Sendable, Equatable, Codable {
    /// `human` or `gpt`.
    public var from: String
    /// What is said, with `<image>` where an image belongs.
    public var value: String

    /// A turn.
    public init(from: String, value: String) {
        self.from = from
        self.value = value
    }

    /// The turn as samples with an image are prepared: every `<image>` goes, and one comes in front on a line of its own.
    ///
    /// Source: LLaVA v1.2.2, `llava/train/train.py`, `preprocess_multimodal` without image start and end tokens.
    public func placingImageFirst(in template: ConversationTemplate) -> TrainingTurn {
        guard value.containsExactly(ImagePrompt.imageToken) else { return self }
        let text = value.replacing(exactly: ImagePrompt.imageToken, with: "").stripped()
        let placed = "\(ImagePrompt.imageToken)\n\(text)".stripped()
        let image = template.wrapsImages ? "<Image>\(ImagePrompt.imageToken)</Image>" : ImagePrompt.imageToken
        return TrainingTurn(from: from, value: placed.replacing(exactly: ImagePrompt.imageToken, with: image))
    }
}
