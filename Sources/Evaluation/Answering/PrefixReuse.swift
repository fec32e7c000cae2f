public import LLaVAPipeline
import PMoD

/// How much of what a decoder has read of one prompt serves the next one.
public enum PrefixReuse: String, Sendable, Codable {
    /// Keys and values of the first m visual tokens are the first ones of those of more: a dense decoder reads the
    /// largest budget once, and its cache is cut for every other one.
    case acrossBudgets = "across budgets"
    /// Which visual tokens a layer keeps depends on how many there are, but not on the question: every budget is read
    /// once for all questions about a picture.
    case acrossQuestions = "across questions"
    /// Tokens of the question are chosen among as well: every prompt is read from its beginning.
    case none

    /// What holds for prompts of one picture.
    /// - Parameters:
    ///   - model: decides by its mixture of depths.
    ///   - views: views of the picture; the visual tokens of a budget are a prefix only if there is one.
    public init(_ model: LLaVAModel, views: Int) {
        switch model.config.pmod?.modTargetTokenType {
        case nil: self = views == 1 ? .acrossBudgets : .acrossQuestions
        case .visionAll, .visionHighResolution: self = .acrossQuestions
        case .all: self = .none
        }
    }
}
