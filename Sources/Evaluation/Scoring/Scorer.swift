/// How an answer is compared with what was expected.
public enum Scorer: String, CaseIterable, Sendable, Codable {
    /// The same text as one of the references, after `AnswerNormalization.plain`.
    case exact
    /// Yes or no, as POPE reads answers; `YesNoCounts` has precision and recall.
    case yesNo = "yes-no"
    /// The letter of an option.
    case choice
    /// Agreement with ten people, as VQA-v2 and TextVQA count it.
    case vqa
    /// Average normalised Levenshtein similarity, as ST-VQA and DocVQA count it.
    case anls

    /// The score of an answer, in 0...1.
    /// - Parameter references: acceptable answers, or what several people answered.
    /// - Complexity: O(n · m) of the texts' lengths for `anls`, else linear.
    public func score(_ answer: String, references: [String]) -> Double {
        switch self {
        case .exact:
            let given = AnswerNormalization.plain(answer)
            return references.contains { AnswerNormalization.plain($0) == given } ? 1 : 0
        case .yesNo:
            return references.contains { YesNo(reading: $0) == YesNo(reading: answer) } ? 1 : 0
        case .choice:
            guard let letter = OptionLetter.read(answer) else { return 0 }
            return references.contains { OptionLetter.read($0) == letter } ? 1 : 0
        case .vqa: return Self.consensus(answer, references)
        case .anls: return references.map { Self.similarity(answer, $0) }.max() ?? 0
        }
    }

    /// Checks that references are of the kind the scorer compares with.
    /// - Throws: `EvaluationError.unscorable`.
    public func check(references: [String], origin: String) throws {
        func refuse(_ expected: String, _ got: String) -> EvaluationError {
            .unscorable(scorer: rawValue, origin: origin, expected: expected, got: got)
        }
        for reference in references {
            switch self {
            case .yesNo where !["yes", "no"].contains(AnswerNormalization.plain(reference)):
                throw refuse("yes and no", reference)
            case .choice where OptionLetter.read(reference) == nil: throw refuse("the letter of an option", reference)
            default: break
            }
        }
    }

    /// The mean over all people of min(1, others who gave this answer / 3).
    ///
    /// With one reference there are no others: then the score is whether it is the answer.
    /// Source: VQA (arXiv 1505.00468), section 3; `vqaEval.py`.
    private static func consensus(_ answer: String, _ references: [String]) -> Double {
        let given = AnswerNormalization.vqa(answer)
        let isSame = references.map { AnswerNormalization.vqa($0) == given }
        let same = isSame.count { $0 }
        guard references.count > 1 else { return same > 0 ? 1 : 0 }
        let sum = isSame.reduce(0.0) { $0 + min(1, Double($1 ? same - 1 : same) / 3) }
        return sum / Double(references.count)
    }

    /// 1 - distance / longer length, and 0 from a distance of half the length on. Case does not count.
    ///
    /// Source: Biten et al., "Scene Text Visual Question Answering" (arXiv 1905.13648), equation 1, τ = 0.5.
    private static func similarity(_ answer: String, _ reference: String) -> Double {
        let (a, b) = (letters(answer), letters(reference))
        let longer = max(a.count, b.count)
        guard longer > 0 else { return 1 }
        let distance = Double(editDistance(a, b)) / Double(longer)
        return distance < 0.5 ? 1 - distance : 0
    }

    private static func letters(_ text: String) -> [Character] {
        Array(text.lowercased().split(whereSeparator: \.isWhitespace).joined(separator: " "))
    }

    /// Levenshtein distance: insertions, deletions and substitutions of one character.
    static func editDistance(_ a: [Character], _ b: [Character]) -> Int {
        var row = Array(0...b.count)
        for (i, x) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, y) in b.enumerated() {
                let substituted = diagonal + (x == y ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substituted, row[j] + 1, diagonal + 1)
            }
        }
        return row[b.count]
    }
}

/// The letter of an option that an answer names.
public enum OptionLetter {
    /// The letter in "B", "(b)", "B. a cat", "B: a cat", "B) a cat" and "The answer is B."; nil if there is none.
    ///
    /// ScienceQA's evaluation in LLaVA 1.2.2 reads the first three and the last of these; the others are ours. A text
    /// that only begins with a letter, such as "a cat", names none.
    public static func read(_ text: String) -> Character? {
        let trimmed = text.trimming { $0.isWhitespace }
        let match =
            trimmed.firstMatch(of: #/^\(?([A-Za-z])(?:[.:)]|$)/#)?.1
            ?? trimmed.firstMatch(of: #/(?i:answer is|answer:)\s*\(?([A-Z])\b/#)?.1
        return match?.uppercased().first
    }
}

extension String {
    /// The text without characters at its ends that satisfy a condition.
    fileprivate func trimming(while condition: (Character) -> Bool) -> String {
        let start = drop(while: condition)
        let end = start.lastIndex { !condition($0) }.map { start.index(after: $0) } ?? start.startIndex
        return String(start[..<end])
    }
}
