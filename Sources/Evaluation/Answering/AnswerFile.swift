import Foundation
import ModelFiles
import Training

/// The answers of an evaluation, a JSON object a line in the order of the questions: `question_id` and `answer` as the
/// servers of benchmarks take them, and what the answer was compared with.
public enum AnswerFile {
    private struct Line: Encodable {
        var questionId: String
        var question: String
        var answer: String
        var references: [String]
        var type: String
        var score: Double
        var visualTokens: Int
        var isCut: Bool
    }

    /// Writes the answers of one model, complete or not at all.
    /// - Throws: `EvaluationError.unwritable`.
    public static func write(_ records: [PictureRecord], of set: EvaluationSet, scorer: Scorer, to path: String) throws
    {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        var bytes = Data()
        for record in records {
            let item = set.items[record.picture]
            for answer in record.answers {
                let turn = item.turns[answer.question]
                let line = Line(
                    questionId: turn.id ?? "", question: turn.question,
                    answer: answer.text, references: turn.references, type: turn.type,
                    score: scorer.score(answer.text, references: turn.references), visualTokens: answer.visualTokens,
                    isCut: answer.isCut)
                bytes += try encoder.encode(line) + Data("\n".utf8)
            }
        }
        do { try AtomicFile(path: path).write { try $0.write(contentsOf: bytes) } } catch {
            throw EvaluationError.unwritable(path: path, reason: "\(error)")
        }
    }
}
