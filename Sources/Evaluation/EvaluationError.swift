/// What keeps an evaluation from beginning or from going on.
public enum EvaluationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// A reference answer that a scorer cannot compare with.
    case unscorable(scorer: String, origin: String, expected: String, got: String)
    /// Some questions have an answer and some have none.
    case partlyAnswered(source: String, answered: Int, questions: Int, first: String)
    /// An evaluation that only makes sense with answers.
    case unanswered(source: String)
    /// There is no question about a picture.
    case noPictures(source: String, examples: Int)
    /// A list of budgets that cannot be read.
    case unknownBudgets(text: String, reason: String)
    /// Models that cannot all be asked for the same budgets.
    case differentBudgets(models: [String], maxima: [Int?], asked: String)
    /// No gradient leads from an answer back to the picture.
    case unexplainable(model: String)
    /// The log of a run cannot be read.
    case unreadable(path: String, reason: String)
    /// The log of a run in which no step was taken.
    case noSteps(path: String)
    /// Results cannot be written.
    case unwritable(path: String, reason: String)
    /// The directory holds answers of an evaluation with other settings.
    case otherEvaluation(path: String, key: String, expected: String, got: String)
    /// A question that could not be answered.
    case failed(model: String, origin: String, reason: String)

    /// Whether the person's words are at fault rather than a file.
    public var isUsageError: Bool {
        switch self {
        case .unknownBudgets, .differentBudgets: true
        default: false
        }
    }

    /// What went wrong, and what to do next.
    public var description: String {
        switch self {
        case .unscorable(let scorer, let origin, let expected, let got):
            "\(origin): the scorer \(scorer) compares with \(expected), and the answer is \(got.debugDescription); choose "
                + "another --scorer or correct the answer"
        case .partlyAnswered(let source, let answered, let questions, let first):
            "\(source): \(answered) of \(questions) questions have an answer, the first without is \(first); give all of "
                + "them an answer, or none to measure cost only"
        case .unanswered(let source):
            "\(source) has no answers to compare with; add \"answer\" or \"answers\" to its lines"
        case .noPictures(let source, let examples):
            "\(source): none of the \(examples) examples has a picture, so there are no visual tokens to vary"
        case .unknownBudgets(let text, let reason):
            "--visual-tokens \(text): \(reason); write numbers with commas between, or all"
        case .differentBudgets(let models, let maxima, let asked):
            "the models make different numbers of visual tokens at most ("
                + zip(models, maxima).map { "\($0): \($1.map(String.init) ?? "fixed")" }.joined(separator: ", ")
                + "), so \(asked) is not the same budgets for all; name budgets that all of them can make"
        case .unexplainable(let model):
            "\(model): nothing leads back from its answers to the picture; pictures of several views with line breaks "
                + "between their rows cannot be explained yet"
        case .unreadable(let path, let reason):
            "cannot read \(path): \(reason). Name directories that vlm train --out made."
        case .noSteps(let path):
            "\(path) holds the loss of no step; is the run still at its beginning?"
        case .unwritable(let path, let reason):
            "cannot write \(path): \(reason). Check that the directory can be made, is writable and has room."
        case .otherEvaluation(let path, let key, let expected, let got):
            "\(path) holds answers of an evaluation with other settings: \(key) was \(got) and is now \(expected); name "
                + "another directory, or remove that file to begin anew"
        case .failed(let model, let origin, let reason):
            "\(model), \(origin): \(reason)"
        }
    }
}
