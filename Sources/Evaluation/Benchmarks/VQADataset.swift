import Bytes
import Foundation
import Training

/// VQAv2: questions about pictures of COCO, each answered by ten people.
///
/// Questions are `{"questions": [{"image_id": 458752, "question": ..., "question_id": 458752000}, ...]}`, answers
/// `{"annotations": [{"question_id": ..., "answer_type": "yes/no", "answers": [{"answer": ...}, ...]}, ...]}`, and pictures
/// `COCO_PART_000000458752.jpg`, where PART is the file's `data_subtype` or part of the file's name.
/// Source: Goyal et al., "Making the V in VQA Matter" (arXiv 1612.00837); visualqa.org.
struct VQADataset: TrainingDataset {
    private let questions: RecordIndex
    private let annotations: RecordIndex?
    private let annotationOfQuestion: [Int: Int32]
    private let folder: ImageFolder
    private let part: String

    init(path: String, annotations: String?, folder: ImageFolder) throws {
        questions = try RecordIndex(path: path, member: "questions")
        self.annotations = try annotations.map { try RecordIndex(path: $0, member: "annotations") }
        self.folder = folder
        let parts = ["train2014", "val2014", "test2015"]
        let file = URL(filePath: path).lastPathComponent
        guard let part = parts.first(where: { file.contains($0) }) ?? (file.contains("test-dev") ? "test2015" : nil)
        else {
            throw DataError.damaged(
                file: path, part: "its name", expected: "one of \(parts.joined(separator: ", ")) in it", got: file)
        }
        self.part = part
        var places: [Int: Int32] = [:]
        if let annotations = self.annotations {
            for index in 0..<annotations.count {
                let reader = try annotations.reader(at: index)
                guard let id = reader.record["question_id"]?.int else {
                    throw reader.invalid("a number under \"question_id\"", "none")
                }
                places[id] = Int32(index)
            }
        }
        annotationOfQuestion = places
        for index in 0..<questions.count { _ = try example(at: index) }
    }

    var name: String { "VQAv2 \(part)" }
    var count: Int { questions.count }

    func example(at index: Int) throws -> TrainingExample {
        let reader = try questions.reader(at: index)
        let question = try reader.text("question") ?? ""
        guard let id = reader.record["question_id"]?.int, let image = reader.record["image_id"]?.int, !question.isEmpty
        else { throw reader.invalid("a question, and numbers under \"question_id\" and \"image_id\"", "others") }
        var turn = QuestionAnswer(
            question: question + BenchmarkLayout.shortAnswer, answer: "", type: "question", id: "\(id)")
        if let annotations {
            guard let place = annotationOfQuestion[id] else {
                throw reader.invalid("a question that \(annotations.path) answers", "question_id \(id)")
            }
            let annotation = try annotations.reader(at: Int(place))
            let answers = annotation.record["answers"]?.array?.compactMap { $0["answer"]?.string } ?? []
            guard let first = answers.first, answers.count == annotation.record["answers"]?.array?.count else {
                throw annotation.invalid("a list of objects with \"answer\" under \"answers\"", "others")
            }
            (turn.answer, turn.answers) = (first, answers)
            turn.type = try annotation.text("answer_type", isOptional: true) ?? "question"
        }
        let digits = String(image)
        let file = "COCO_\(part)_\(String(repeating: "0", count: max(0, 12 - digits.count)))\(digits).jpg"
        return TrainingExample(
            image: .file(try folder.resolve(file, file: questions.path, place: reader.place)), turns: [turn],
            origin: "\(name) \(reader.place)")
    }
}
