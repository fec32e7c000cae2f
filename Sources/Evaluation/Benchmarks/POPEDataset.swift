import Bytes
import Foundation
import Training

/// POPE: whether an object is in a picture of COCO.
///
/// A line is `{"question_id": 1, "image": "COCO_val2014_....jpg", "text": "Is there a dog in the image?", "label": "no"}`.
/// Source: Li et al., "Evaluating Object Hallucination in Large Vision-Language Models" (arXiv 2305.10355);
/// AoiDragon/POPE, `output/coco`.
struct POPEDataset: TrainingDataset {
    private let records: RecordIndex
    private let folder: ImageFolder

    init(path: String, folder: ImageFolder) throws {
        records = try RecordIndex(path: path)
        self.folder = folder
        // A mistake in the last line shows before any work is done.
        for index in 0..<records.count { _ = try example(at: index) }
    }

    var name: String { "POPE \(URL(filePath: records.path).lastPathComponent)" }
    var count: Int { records.count }

    func example(at index: Int) throws -> TrainingExample {
        let reader = try records.reader(at: index)
        let text = try reader.text("text") ?? ""
        let label = try reader.text("label") ?? ""
        guard !text.isEmpty, ["yes", "no"].contains(label) else {
            throw reader.invalid("a question under \"text\" and yes or no under \"label\"", label.debugDescription)
        }
        let image = try folder.resolve(reader.text("image") ?? "", file: records.path, place: reader.place)
        let turn = QuestionAnswer(
            question: text + BenchmarkLayout.shortAnswer, answer: label,
            type: try reader.text("category", isOptional: true) ?? "question", id: reader.name("question_id"))
        return TrainingExample(image: .file(image), turns: [turn], origin: "\(name) \(reader.place)")
    }
}
