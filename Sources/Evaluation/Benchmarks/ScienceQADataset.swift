import Bytes
import Foundation
import ModelFiles
import Training

/// ScienceQA: questions from school with options; some have a picture.
///
/// `problems.json` is `{"1": {"question": ..., "choices": [...], "answer": 0, "hint": ..., "image": "image.png" or null,
/// "subject": ...}, ...}`, `pid_splits.json` lists the names of each part, and pictures are `images/PART/NAME/image.png`.
/// Source: Lu et al., "Learn to Explain" (arXiv 2209.09513); lupantech/ScienceQA.
struct ScienceQADataset: TrainingDataset {
    private let path: String
    private let problems: [(name: String, problem: JSONValue)]
    private let folder: ImageFolder
    private let part: String

    init(path: String, folder: ImageFolder, split: DataSplit) throws {
        part = split == .validation ? "val" : split.rawValue
        self.path = path
        self.folder = folder
        let splits = URL(filePath: path).deletingLastPathComponent().appending(path: "pid_splits.json").path
        let all = try JSONValue(contentsOf: path)
        guard let names = try JSONValue(contentsOf: splits)[part]?.array else {
            throw DataError.damaged(
                file: splits, part: "\"\(part)\"", expected: "a list of the questions of this part", got: "none")
        }
        problems = try names.map { name in
            guard let name = name.string, let problem = all[name] else {
                throw DataError.damaged(
                    file: path, part: "the list of questions", expected: "those that \(splits) names",
                    got: "none called \(name.string ?? name.kind)")
            }
            return (name, problem)
        }
        for index in problems.indices { _ = try example(at: index) }
    }

    var name: String { "ScienceQA" }
    var count: Int { problems.count }

    func example(at index: Int) throws -> TrainingExample {
        let (name, problem) = problems[index]
        let reader = RecordReader(record: problem, file: path, place: "question \(name)")
        let choices = problem["choices"]?.array?.compactMap(\.string) ?? []
        guard let answer = problem["answer"]?.int, choices.indices.contains(answer), choices.count <= 26,
            choices.count == problem["choices"]?.array?.count
        else {
            throw reader.invalid(
                "2 to 26 texts under \"choices\" and the number of one under \"answer\"",
                problem["answer"]?.kind ?? "none")
        }
        let hint = try (reader.text("hint", isOptional: true) ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
        let options = choices.enumerated().map { "(\(BenchmarkLayout.letter($0))) \($1)" }.joined(separator: " ")
        let prompt =
            "Context: \(hint.isEmpty ? "N/A" : hint)\nQuestion: \(try reader.text("question") ?? "")\nOptions: \(options)"
        let image = try reader.text("image", isOptional: true).map { file in
            // Either the folder of all pictures or that of the part.
            let places = ["\(part)/\(name)/\(file)", "\(name)/\(file)"]
            let found = places.first {
                FileManager.default.fileExists(atPath: URL(filePath: folder.path).appending(path: $0).path)
            }
            return TrainingExample.Source.file(
                try folder.resolve(found ?? places[0], file: path, place: reader.place))
        }
        let turn = QuestionAnswer(
            question: prompt.replacingOccurrences(of: "  ", with: " ") + BenchmarkLayout.letterAnswer,
            answer: BenchmarkLayout.letter(answer), type: try reader.text("subject", isOptional: true) ?? "question",
            id: name)
        return TrainingExample(image: image, turns: [turn], origin: "ScienceQA \(reader.place)")
    }
}
