import Evaluation
import Testing

@Suite("Scorers")
struct ScorerPropertyTests {
    @Test(
        "exact match passes over case, punctuation, articles and spaces, and nothing else",
        arguments: [
            ("Yes.", "yes", 1.0), ("the  Red circle!", "red circle", 1), ("A", "the", 1), ("top-left", "top left", 0),
            ("two", "2", 0), ("red circles", "red circle", 0), ("", "yes", 0),
        ])
    func exact(answer: String, reference: String, expected: Double) {
        #expect(Scorer.exact.score(answer, references: [reference]) == expected)
    }

    @Test("any of several references will do for exact match")
    func severalReferences() {
        #expect(Scorer.exact.score("couch", references: ["sofa", "couch"]) == 1)
        #expect(Scorer.exact.score("chair", references: ["sofa", "couch"]) == 0)
    }

    /// References and the score by hand: with k of ten people of the same mind it is
    /// (k · min(1, (k - 1) / 3) + (10 - k) · min(1, k / 3)) / 10.
    @Test(
        "agreement with k of ten people scores what VQA's definition says",
        arguments: [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
    func consensus(agreeing: Int, expected: Double) {
        let references = Array(repeating: "Red", count: agreeing) + (agreeing..<10).map { "other \($0)" }
        #expect(abs(Scorer.vqa.score("red", references: references) - expected) < 1e-12)
    }

    @Test(
        "answers are rewritten as VQA's script does",
        arguments: [
            ("Two dogs", "2 dogs"), ("the man's hat.", "man's hat"), ("dont know", "don't know"), ("10,000", "10000"),
            ("black/white", "black white"), ("3.5", "3.5"), ("U.S.A.", "usa"), ("couldntve", "couldn't've"),
            ("an apple , red", "apple red"), ("none", "0"), ("red\nblue", "red blue"),
        ])
    func normalization(text: String, expected: String) { #expect(AnswerNormalization.vqa(text) == expected) }

    /// Distances by hand: kitten/sitting 3 of 7; abcd/abxy 2 of 4, which is half; hello/hallo 1 of 5; ab/abc 1 of 3.
    private static let similar: [(String, [String], Double)] = [
        ("kitten", ["sitting"], 0.571_428_571_428_571_4), ("abcd", ["abxy"], 0), ("HELLO", ["hallo"], 0.8),
        ("abc", ["abc"], 1), ("hello", ["xyz", "hallo", "help"], 0.8), ("", ["a"], 0),
        ("ab", ["", "abc"], 0.666_666_666_666_666_6),
    ]

    @Test("ANLS is one minus the share of changed characters, and nothing from half of them on", arguments: similar)
    func anls(answer: String, references: [String], expected: Double) {
        #expect(abs(Scorer.anls.score(answer, references: references) - expected) < 1e-12)
    }

    @Test(
        "the letter of an option is read where one is named",
        arguments: [
            ("B", "B"), (" (c) ", "C"), ("B. a cat", "B"), ("d) dog", "D"), ("A: ant", "A"), ("The answer is B.", "B"),
            ("Answer: (C)", "C"), ("a cat", nil), ("Because", nil), ("", nil), ("the answer is both", nil),
        ] as [(String, Character?)])
    func letters(text: String, expected: Character?) {
        #expect(OptionLetter.read(text) == expected)
        #expect(Scorer.choice.score(text, references: ["B"]) == (expected == "B" ? 1 : 0))
    }

    /// Of 8 questions: 3 yes answered yes, 1 yes answered no, 2 no answered yes, 2 no answered no.
    @Test("precision, recall and F1 of yes and no are those counted by hand")
    func yesNo() throws {
        var counts = YesNoCounts()
        let answers = [
            ("Yes.", "yes"), ("yes, there is", "yes"), ("a dog", "yes"), ("No", "yes"), ("Yes", "no"),
            ("yes. Not", "no"),
            ("There is not, sorry", "no"), ("no", "no"),
        ]
        for (answer, reference) in answers { counts.add(answer, reference: reference) }
        #expect(counts.truePositives == 3 && counts.falseNegatives == 1)
        #expect(counts.falsePositives == 2 && counts.trueNegatives == 2 && counts.unclear == 1)
        #expect(counts.accuracy == 0.625 && counts.precision == 0.6 && counts.recall == 0.75)
        #expect(counts.f1 == 6.0 / 9 && counts.yesRatio == 0.625)
        #expect(YesNoCounts().f1 == nil && YesNoCounts().accuracy == nil)
    }

    @Test("a reference that a scorer cannot compare with is refused with its place")
    func unscorable() throws {
        let error = try #require(throws: EvaluationError.self) {
            try Scorer.yesNo.check(references: ["maybe"], origin: "q.jsonl line 3")
        }
        #expect("\(error)".contains("line 3") && "\(error)".contains("maybe"))
        #expect(throws: EvaluationError.self) { try Scorer.choice.check(references: ["a cat"], origin: "") }
        try Scorer.yesNo.check(references: ["Yes."], origin: "")
        try Scorer.exact.check(references: ["maybe"], origin: "")
    }
}

@Suite("Intervals")
struct IntervalPropertyTests {
    /// 8 of 10 by hand: z² = 3.841459; centre (0.8 + 0.19207) / 1.38415 = 0.71674; half-width
    /// 1.95996 · √(0.016 + 0.0096036) / 1.38415 = 0.22657.
    @Test(
        "Wilson's interval is that computed by hand",
        arguments: [(8, 10, 0.490162, 0.943318), (0, 10, 0, 0.277533), (10, 10, 0.722467, 1), (1, 1, 0.206543, 1)])
    func wilson(right: Int, count: Int, lower: Double, upper: Double) {
        let interval = ConfidenceInterval.wilson(right: right, of: count)
        #expect(abs(interval.lower - lower) < 1e-5 && abs(interval.upper - upper) < 1e-5, "\(interval)")
    }

    @Test("a bootstrap over single questions comes near Wilson's interval, and the same seed gives the same")
    func bootstrapOfSingles() {
        let groups = (0..<400).map { [$0 < 280 ? 1.0 : 0.0] }
        let (drawn, wilson) = (
            ConfidenceInterval.bootstrap(groups, seed: 1), ConfidenceInterval.wilson(right: 280, of: 400)
        )
        #expect(abs(drawn.lower - wilson.lower) < 0.015 && abs(drawn.upper - wilson.upper) < 0.015)
        #expect(drawn == .bootstrap(groups, seed: 1) && drawn != .bootstrap(groups, seed: 2))
    }

    @Test("questions that are right or wrong together by picture make the interval wider, by the root of their number")
    func clusters() throws {
        let alone = try #require(ScoreSummary((0..<400).map { (picture: $0, score: $0 % 2 == 0 ? 1.0 : 0) }))
        let together = try #require(ScoreSummary((0..<400).map { (picture: $0 / 4, score: $0 / 4 % 2 == 0 ? 1.0 : 0) }))
        #expect(alone.interval.method == .wilson && together.interval.method == .bootstrap)
        #expect(alone.score == 0.5 && together.score == 0.5 && together.questions == 400)
        let ratio = (together.interval.upper - together.interval.lower) / (alone.interval.upper - alone.interval.lower)
        #expect((1.7...2.3).contains(ratio), "\(ratio)")
    }

    @Test("all right is not certainly right")
    func unanimous() throws {
        let summary = try #require(ScoreSummary((0..<20).map { (picture: $0 / 5, score: 1.0) }))
        #expect(summary.interval.method == .wilson && summary.interval.lower < 0.9 && summary.interval.upper == 1)
        #expect(ScoreSummary([]) == nil)
    }
}
