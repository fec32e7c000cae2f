import Training

/// The mean of some scores and how sure one can be of it.
public struct ScoreSummary: Sendable, Equatable, Codable {
    /// Questions.
    public var questions: Int
    /// Mean score.
    public var score: Double
    /// Where the score on all questions of the kind lies with 95 % confidence.
    public var interval: ConfidenceInterval

    /// The mean of scores in 0...1, each with the number of the picture it is about; nil without scores.
    ///
    /// Questions about one picture are right or wrong together, so pictures are drawn anew, not questions. Wilson's
    /// interval is taken where every picture has one question that is right or wrong, and where all are right or all
    /// wrong: there drawing anew would claim to be certain.
    public init?(_ scores: [(picture: Int, score: Double)], seed: UInt64 = 0) {
        guard !scores.isEmpty else { return nil }
        questions = scores.count
        score = scores.reduce(0) { $0 + $1.score } / Double(scores.count)
        let byPicture = Dictionary(grouping: scores, by: \.picture)
        let isBinary = scores.allSatisfy { $0.score == 0 || $0.score == 1 }
        let isUnanimous = Set(scores.map(\.score)).count == 1
        if isBinary, isUnanimous || byPicture.count == scores.count {
            interval = .wilson(right: Int(scores.reduce(0) { $0 + $1.score }), of: scores.count)
        } else {
            interval = .bootstrap(
                byPicture.sorted { $0.key < $1.key }.map { $0.value.map(\.score) }, seed: seed)
        }
    }
}

/// An interval that holds a share with 95 % confidence.
public struct ConfidenceInterval: Sendable, Equatable, Codable {
    /// How it was found.
    public enum Method: String, Sendable, Codable {
        /// Wilson's score interval.
        case wilson
        /// Percentiles of the means of pictures drawn with replacement.
        case bootstrap = "bootstrap over pictures"
    }

    /// Lower end.
    public var lower: Double
    /// Upper end.
    public var upper: Double
    /// How it was found.
    public var method: Method

    /// Draws of a bootstrap.
    public static let draws = 1000
    /// Standard deviations of a normal distribution that 95 % lie within.
    private static let z = 1.959963984540054

    /// Wilson's score interval of a share.
    ///
    /// Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    /// - Parameter count: how many there are, at least 1.
    public static func wilson(right: Int, of count: Int) -> ConfidenceInterval {
        precondition(count > 0 && (0...count).contains(right), "\(right) of \(count)")
        let (n, share) = (Double(count), Double(right) / Double(count))
        let scale = 1 / (1 + z * z / n)
        let centre = (share + z * z / (2 * n)) * scale
        let half = z * (share * (1 - share) / n + z * z / (4 * n * n)).squareRoot() * scale
        // At the ends the two terms are equal but for rounding.
        return ConfidenceInterval(
            lower: right == 0 ? 0 : centre - half, upper: right == count ? 1 : centre + half, method: .wilson)
    }

    /// The 2.5 and 97.5 percentiles of the mean score over groups drawn with replacement.
    ///
    /// Source: Efron, Tibshirani, "An Introduction to the Bootstrap" (1993), sections 8.3 and 13.3.
    /// - Parameter groups: scores that belong together, at least one group, none empty.
    /// - Complexity: O(`draws` · groups).
    public static func bootstrap(_ groups: [[Double]], seed: UInt64) -> ConfidenceInterval {
        precondition(!groups.isEmpty && groups.allSatisfy { !$0.isEmpty })
        let sums = groups.map { (score: $0.reduce(0, +), count: $0.count) }
        var random = SplitMix64(seed: seed)
        let means = (0..<draws).map { _ in
            var (score, count) = (0.0, 0)
            for _ in sums.indices {
                let drawn = sums[random.below(sums.count)]
                score += drawn.score
                count += drawn.count
            }
            return score / Double(count)
        }.sorted()
        let tail = draws / 40
        return ConfidenceInterval(lower: means[tail], upper: means[draws - 1 - tail], method: .bootstrap)
    }
}
