import Bytes
import Foundation
import Training

/// TextVQA: questions about text in pictures, each answered by ten people.
///
/// The file is `{"data": [{"question": ..., "question_id": 34602, "image_id": "003a8ae2ef43b901", "answers": [ten texts]},
/// ...]}`, and pictures are `IMAGE_ID.jpg`. No recognised text is shown to the model; numbers published for LLaVA-1.5 are
/// with it. Source: Singh et al., "Towards VQA Models That Can Read" (arXiv 1904.08920).
struct TextVQADataset: TrainingDataset {
    private let records: RecordIndex
    private let folder: ImageFolder

    init(path: String, folder: ImageFolder) throws {
        records = try RecordIndex(path: path, member: "data")
        self.folder = folder
        for index in 0..<records.count { _ = try example(at: index) }
    }

    var name: String { "TextVQA" }
    var count: Int { records.count }

    func example(at index: Int) throws -> TrainingExample {
        let reader = try records.reader(at: index)
        let question = try reader.text("question") ?? ""
        let answers = reader.record["answers"]?.array?.compactMap(\.string) ?? []
        guard !question.isEmpty, answers.count == reader.record["answers"]?.array?.count ?? 0 else {
            throw reader.invalid("a question, and texts under \"answers\"", "\(answers.count) texts")
        }
        let image = try folder.resolve(
            "\(reader.text("image_id") ?? "").jpg", file: records.path, place: reader.place)
        let turn = QuestionAnswer(
            question: question + BenchmarkLayout.shortAnswer, answer: answers.first ?? "", type: "question",
            answers: answers.isEmpty ? nil : answers, id: reader.name("question_id"))
        return TrainingExample(image: .file(image), turns: [turn], origin: "TextVQA \(reader.place)")
    }
}
