/// An answer read as yes or no.
public enum YesNo: Sendable {
    case yes, no

    /// No if the first sentence has the word "no" or "not", else yes, however little the answer has to do with it.
    ///
    /// Source: POPE (arXiv 2305.10355), `evaluate.py`. Case does not count here; there only "No", "no" and "not" do.
    public init(reading answer: String) {
        let words = Self.words(answer)
        self = words.contains("no") || words.contains("not") ? .no : .yes
    }

    /// Whether an answer has the word yes, no or not in its first sentence.
    static func isPlain(_ answer: String) -> Bool { !words(answer).isDisjoint(with: ["yes", "no", "not"]) }

    private static func words(_ answer: String) -> Set<String> {
        let sentence = answer.prefix { $0 != "." }.lowercased().filter { $0 != "," }
        return Set(sentence.split(whereSeparator: \.isWhitespace).map(String.init))
    }
}

/// How answers to questions of yes or no came out; yes is the positive class.
///
/// Source: POPE (arXiv 2305.10355), section 4.2.
public struct YesNoCounts: Sendable, Equatable, Codable {
    /// Yes where it is yes.
    public var truePositives = 0
    /// Yes where it is no: things seen that are not there.
    public var falsePositives = 0
    /// No where it is no.
    public var trueNegatives = 0
    /// No where it is yes.
    public var falseNegatives = 0
    /// Answers among these that say neither yes nor no and were read as yes.
    public var unclear = 0

    /// No answers.
    public init() {}

    /// Adds an answer.
    public mutating func add(_ answer: String, reference: String) {
        switch (YesNo(reading: answer), YesNo(reading: reference)) {
        case (.yes, .yes): truePositives += 1
        case (.yes, .no): falsePositives += 1
        case (.no, .no): trueNegatives += 1
        case (.no, .yes): falseNegatives += 1
        }
        if !YesNo.isPlain(answer) { unclear += 1 }
    }

    /// Answers.
    public var count: Int { truePositives + falsePositives + trueNegatives + falseNegatives }
    /// Share of right answers; nil without answers.
    public var accuracy: Double? { Self.ratio(truePositives + trueNegatives, count) }
    /// Share of right ones among the answers yes; nil if there are none.
    public var precision: Double? { Self.ratio(truePositives, truePositives + falsePositives) }
    /// Share of the questions to be answered yes that were; nil if there are none.
    public var recall: Double? { Self.ratio(truePositives, truePositives + falseNegatives) }
    /// Harmonic mean of precision and recall; nil if there is no yes at all.
    public var f1: Double? { Self.ratio(2 * truePositives, 2 * truePositives + falsePositives + falseNegatives) }
    /// Share of the answers yes; nil without answers.
    public var yesRatio: Double? { Self.ratio(truePositives + falsePositives, count) }

    private static func ratio(_ part: Int, _ whole: Int) -> Double? {
        whole == 0 ? nil : Double(part) / Double(whole)
    }
}
