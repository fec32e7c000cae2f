import Foundation
import ModelFiles
import Training

/// The answers of an evaluation as files that people and the servers of benchmarks read.
public enum AnswerFile {
    /// A line of JSONL. The readers of LLaVA's evaluation scripts want `prompt` and `text`.
    private struct Line: Encodable {
        var questionId: Identifier
        var roundId: Int?
        var question: String?
        var prompt: String?
        var answer: String?
        var text: String?
        var references: [String]
        var type: String
        var score: Double?
        var visualTokens: Int
        var isCut: Bool
    }

    /// An element of the array that the servers of VQAv2 and TextVQA take.
    private struct Result: Encodable {
        var questionId: Identifier
        var answer: String
    }

    /// What a question is called: a number where the benchmark has numbers.
    private enum Identifier: Encodable {
        case number(Int)
        case text(String)

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .number(let number): try container.encode(number)
            case .text(let text): try container.encode(text)
            }
        }
    }

    /// Writes the answers of one model in the order of the questions, complete or not at all.
    ///
    /// A path that ends in `.json` gets an array of `question_id` and `answer`, any other a line for each question, with
    /// what the answer was compared with.
    /// - Parameter layout: the benchmark the questions are from: lines are as LLaVA's scripts write them then.
    /// - Throws: `EvaluationError.unwritable`.
    public static func write(
        _ records: [PictureRecord], of set: EvaluationSet, scorer: Scorer, layout: BenchmarkLayout? = nil,
        to path: String
    ) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        let answered = records.flatMap { record in
            record.answers.map { (turn: set.items[record.picture].turns[$0.question], answer: $0) }
        }
        var bytes = Data()
        if path.hasSuffix(".json") {
            bytes = try encoder.encode(
                answered.map {
                    Result(
                        questionId: identifier($0.turn, layout).0,
                        answer: scorer == .vqa ? AnswerNormalization.vqa($0.answer.text) : $0.answer.text)
                })
        } else {
            for (turn, answer) in answered {
                let (id, round) = identifier(turn, layout)
                var line = Line(
                    questionId: id, roundId: round, references: turn.references, type: turn.type,
                    score: set.hasAnswers ? scorer.score(answer.text, references: turn.references) : nil,
                    visualTokens: answer.visualTokens, isCut: answer.isCut)
                if layout == nil {
                    (line.question, line.answer) = (turn.question, answer.text)
                } else {
                    (line.prompt, line.text) = (turn.question, answer.text)
                }
                bytes += try encoder.encode(line) + Data("\n".utf8)
            }
        }
        do { try AtomicFile(path: path).write { try $0.write(contentsOf: bytes) } } catch {
            throw EvaluationError.unwritable(path: path, reason: "\(error)")
        }
    }

    /// What a benchmark calls a question, and which rotation of its options it is.
    private static func identifier(_ turn: QuestionAnswer, _ layout: BenchmarkLayout?) -> (Identifier, round: Int?) {
        let id = turn.id ?? ""
        guard let layout, let number = Int(id) else { return (.text(id), nil) }
        switch layout {
        case .mmbench:
            return (.number(number % MMBenchDataset.rotationStep), number / MMBenchDataset.rotationStep)
        case .scienceqa: return (.text(id), nil)
        case .pope, .textvqa, .vqav2: return (.number(number), nil)
        }
    }
}
