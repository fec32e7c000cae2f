import Foundation
import Training
import VisionEncoder

/// A question with its answers at every budget, to be shown beside the numbers.
public struct SweepExample: Sendable, Equatable {
    /// The picture, as the bytes of a PNG file of at most `SweepExample.side` pixels a side.
    public var png: [UInt8]
    /// The question.
    public var question: String
    /// Its type.
    public var type: String
    /// Acceptable answers; none where only cost is measured.
    public var references: [String]
    /// What each model answered.
    public var answers: [Answers]

    /// The longest side of a picture in a report, in pixels.
    public static let side = 320

    /// What a model answered, from the smallest budget on.
    public struct Answers: Sendable, Equatable {
        /// The model's name in the report.
        public var model: String
        /// Visual tokens, answer, and its score if there is one.
        public var byBudget: [(visualTokens: Int, text: String, score: Double?)]

        /// Whether two have the same answers.
        public static func == (a: Answers, b: Answers) -> Bool {
            a.model == b.model && a.byBudget.elementsEqual(b.byBudget, by: ==)
        }

        /// Budgets at which the answer is right and was not at the budget before, or the other way round.
        var flips: [(visualTokens: Int, isRight: Bool)] {
            zip(byBudget, byBudget.dropFirst()).compactMap { before, after in
                guard let old = before.score, let new = after.score, (old >= 0.5) != (new >= 0.5) else { return nil }
                return (after.visualTokens, new >= 0.5)
            }
        }

        /// Whether the text changes at all.
        var changes: Bool { Set(byBudget.map { AnswerNormalization.plain($0.text) }).count > 1 }
    }
}

extension SweepExample {
    /// Some questions of a sweep: first those whose answer becomes right or wrong with the budget, then those whose
    /// answer changes, of every type in turn and of different pictures as far as there are.
    /// - Parameter count: the most questions.
    /// - Throws: what reading the pictures throws.
    public static func some(
        of sweep: Sweep, _ records: [PictureRecord], _ report: SweepReport, count: Int = 12
    ) throws -> [SweepExample] {
        var candidates: [(picture: Int, question: Int, rank: Int, type: String)] = []
        var answers: [[Int]: [Answers]] = [:]
        let given = Dictionary(grouping: records) { [$0.model, $0.picture] }.mapValues { $0.flatMap(\.answers) }
        for (picture, item) in sweep.set.items.enumerated() {
            for (question, turn) in item.turns.enumerated() {
                let all = report.models.indices.map { model in
                    let own = given[[model, picture]] ?? []
                    return Answers(
                        model: report.models[model].name,
                        byBudget: own.filter { $0.question == question }.sorted { $0.visualTokens < $1.visualTokens }
                            .map {
                                ($0.visualTokens, $0.text, report.scorer?.score($0.text, references: turn.references))
                            })
                }
                answers[[picture, question]] = all
                let flips = all.flatMap(\.flips).count
                // An answer that becomes right once says more than one that wavers.
                let rank = flips == 1 ? 0 : flips > 1 ? 1 : all.contains(where: \.changes) ? 2 : 3
                candidates.append((picture, question, rank, turn.type))
            }
        }
        var chosen: [(picture: Int, question: Int)] = []
        var (ofType, ofPicture) = ([String: Int](), [Int: Int]())
        while chosen.count < count,
            let next = candidates.indices.min(by: { a, b in
                func key(_ index: Int) -> [Int] {
                    let candidate = candidates[index]
                    return [
                        candidate.rank, ofPicture[candidate.picture] ?? 0, ofType[candidate.type] ?? 0,
                        candidate.picture,
                        candidate.question,
                    ]
                }
                return key(a).lexicographicallyPrecedes(key(b))
            })
        {
            let candidate = candidates.remove(at: next)
            chosen.append((candidate.picture, candidate.question))
            ofType[candidate.type, default: 0] += 1
            ofPicture[candidate.picture, default: 0] += 1
        }
        return try chosen.map { picture, question in
            let item = sweep.set.items[picture]
            let image = try sweep.set.picture(of: item)?.decoded()
            let turn = item.turns[question]
            return SweepExample(
                png: try image?.fitted(into: side).pngBytes() ?? [], question: turn.question, type: turn.type,
                references: turn.references, answers: answers[[picture, question]] ?? [])
        }
    }
}

extension RGBImage {
    /// The picture made smaller, if it must be, so that no side is longer than `side`.
    fileprivate func fitted(into side: Int) -> RGBImage {
        let longest = max(width, height)
        guard longest > side else { return self }
        return resized(
            to: ImageSize(width: max(1, width * side / longest), height: max(1, height * side / longest)))
    }
}
