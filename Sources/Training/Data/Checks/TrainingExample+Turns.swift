public import Tokenization

extension TrainingExample {
    /// The example as LLaVA's training turns: the image in front of the first question.
    public func trainingTurns(in template: ConversationTemplate) -> [TrainingTurn] {
        var turns = turns.flatMap {
            [TrainingTurn(from: "human", value: $0.question), TrainingTurn(from: "gpt", value: $0.answer)]
        }
        guard image != nil, !turns.isEmpty else { return turns }
        if template.style == .plain {
            turns[0].value = ImagePrompt.imageToken
        } else {
            turns[0].value = ImagePrompt.imageToken + turns[0].value
            turns[0] = turns[0].placingImageFirst(in: template)
        }
        return turns
    }
}
