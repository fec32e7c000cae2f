/// A number of visual tokens that a model can be asked for.
public struct VisualTokenBudget: Sendable, Equatable {
    /// The number of tokens, m in 1...M.
    public let tokens: Int

    /// A budget of `tokens` for a model that makes at most `maximum`.
    /// - Throws: `VisualTokenBudgetError.outOfRange`; a budget is never clamped.
    public init(_ tokens: Int, maximum: Int) throws(VisualTokenBudgetError) {
        guard (1...max(1, maximum)).contains(tokens) else {
            throw .outOfRange(requested: tokens, maximum: maximum)
        }
        self.tokens = tokens
    }
}

/// A budget that a model cannot honour.
public enum VisualTokenBudgetError: Error, Equatable, CustomStringConvertible {
    /// The number is not in 1...maximum.
    case outOfRange(requested: Int, maximum: Int)
    /// The model has no query transformer, so its number of visual tokens is fixed.
    case notElastic(model: String)

    /// What went wrong, and what to do next.
    public var description: String {
        switch self {
        case .outOfRange(let requested, let maximum):
            "--visual-tokens \(requested) is outside 1...\(maximum), the budgets of this model"
        case .notElastic(let model):
            "\(model) has no query transformer, so it cannot change its number of visual tokens; leave --visual-tokens out"
        }
    }
}
