public import LLaVAPipeline
import MQT

/// Budgets that are compared, as a person writes them.
public enum BudgetList: Sendable, Equatable {
    /// Powers of two below M, and M.
    case powersOfTwo
    /// Every number of 1...M.
    case all
    /// These.
    case numbers([Int])

    /// Reads `all`, or numbers with commas between.
    /// - Throws: `EvaluationError.unknownBudgets`.
    public init(parsing text: String) throws {
        if text == "all" {
            self = .all
            return
        }
        var numbers: [Int] = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let number = Int(word.filter { $0 != " " }) else {
                throw EvaluationError.unknownBudgets(text: text, reason: "\"\(word)\" is not a number")
            }
            guard !numbers.contains(number) else {
                throw EvaluationError.unknownBudgets(text: text, reason: "\(number) stands there twice")
            }
            numbers.append(number)
        }
        self = .numbers(numbers)
    }

    /// The budgets for some models, from the largest on; empty if the number of all of them is fixed.
    ///
    /// Beside models with a query transformer there may be such whose number is fixed: they are one point each.
    /// - Throws: `VisualTokenBudgetError` for a number that a model cannot honour, `EvaluationError.differentBudgets` if
    ///   what was asked for means other numbers for each model.
    public func budgets(for models: [LLaVAModel]) throws -> [Int] {
        let elastic = models.filter { $0.maximumVisualTokens != nil }
        if let first = models.first, elastic.isEmpty, self != .powersOfTwo {
            throw VisualTokenBudgetError.notElastic(model: first.path)
        }
        let maxima = Set(elastic.compactMap(\.maximumVisualTokens))
        guard let maximum = maxima.first else { return [] }
        if case .numbers(let numbers) = self {
            for model in elastic { for number in numbers { _ = try model.budget(number) } }
            return numbers.sorted(by: >)
        }
        guard maxima.count == 1 else {
            throw EvaluationError.differentBudgets(
                models: models.map(\.path), maxima: models.map(\.maximumVisualTokens),
                asked: self == .all ? "--visual-tokens all" : "the default (powers of two and the largest)")
        }
        if self == .all { return (1...maximum).reversed() }
        let powers = (0..<Int.bitWidth - 1).map { 1 << $0 }.prefix { $0 < maximum }
        return (powers + [maximum]).reversed()
    }
}
