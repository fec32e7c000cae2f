/// What asking one model about one picture came to: a line of `answers.jsonl`.
public struct PictureRecord: Sendable, Equatable, Codable {
    /// Number of the model among those that are compared.
    public var model: Int
    /// Number of the picture among those that are asked about.
    public var picture: Int
    /// How often its picture went through the vision tower.
    public var encodes: Int
    /// Views of the picture.
    public var views: Int
    /// How prompts shared what the decoder had read.
    public var reuse: PrefixReuse
    /// Resizing and normalising.
    public var preprocessMilliseconds: Double
    /// The vision tower.
    public var encodeMilliseconds: Double
    /// Operations of the vision tower.
    public var encodeOperations: Int
    /// Largest resident size of the process until then, all models and budgets together.
    public var peakRssBytes: Int
    /// Answers, by budget from the largest on and then by question.
    public var answers: [Answer]
    /// Prompts that were also read from the beginning, one for each budget; none for most pictures.
    public var timed: [TimedPrompt]

    /// An answer to one question at one budget.
    public struct Answer: Sendable, Equatable, Codable {
        /// Visual tokens of each view.
        public var visualTokens: Int
        /// Number of the question among those about the picture.
        public var question: Int
        /// The answer.
        public var text: String
        /// Whether the limit on tokens cut it.
        public var isCut: Bool
        /// Tokens of the whole prompt.
        public var promptTokens: Int
        /// Keys in all layers when the prompt was read.
        public var kvEntries: Int
        /// Bytes of keys and values then.
        public var kvBytes: Int
        /// Reading what was not known of the prompt.
        public var prefillMilliseconds: Double
        /// All steps after the first token.
        public var decodeMilliseconds: Double
        /// How many there were.
        public var decodeSteps: Int
    }

    /// A prompt read from its beginning, as a single question would be.
    public struct TimedPrompt: Sendable, Equatable, Codable {
        /// Visual tokens of each view.
        public var visualTokens: Int
        /// Making that many tokens from the features.
        public var queryTransformerMilliseconds: Double
        /// Operations of that.
        public var queryTransformerOperations: Int
        /// Reading the prompt, up to the first token.
        public var prefillMilliseconds: Double
        /// Operations of that and of all decode steps.
        public var decoderOperations: Int
        /// Operations of reading the prompt alone.
        public var prefillOperations: Int
        /// Decode steps.
        public var decodeSteps: Int
        /// All decode steps.
        public var decodeMilliseconds: Double
        /// Whether the answer has the tokens of that with a shared prefix.
        public var isSameAnswer: Bool
    }
}
