import Bytes
import Foundation
import ModelFiles

/// The easy-VQA data set of V. Zhou: pictures of one shape each with questions, in the layout of its package on PyPI.
///
/// `directory` holds `train` and `test`, each with `questions.json` ([[question, answer, image number]]) and
/// `images/N.png`. Validation is every tenth picture of `train`, by the number of the picture.
public struct EasyVQADataset: TrainingDataset {
    /// The split.
    public let split: DataSplit
    /// Whether examples carry labels of the whole picture.
    public let isLabelled: Bool
    private let images: String
    private let items: [(number: Int, turns: [QuestionAnswer])]

    /// The pictures of a split, each with all its questions, and perhaps labels of shape and colour, as far as an answer
    /// tells them.
    ///
    /// - Throws: `DataError`; `.noSuchSplit` for the held-out split.
    public init(directory: String, split: DataSplit, isLabelled: Bool = false) throws {
        guard split != .heldOut else {
            throw DataError.noSuchSplit(dataset: "easy-vqa", split: split, available: [.train, .validation, .test])
        }
        self.split = split
        self.isLabelled = isLabelled
        let root = URL(filePath: directory).appending(path: split == .test ? "test" : "train")
        images = root.appending(path: "images").path
        let records = try RecordIndex(path: root.appending(path: "questions.json").path)
        var byNumber: [Int: [QuestionAnswer]] = [:]
        for index in 0..<records.count {
            let record = try records.value(at: index)
            guard let question = record[0]?.string, let answer = record[1]?.string, let number = record[2]?.int,
                record.array?.count == 3, (0..<1_000_000).contains(number)
            else {
                throw DataError.invalidExample(
                    file: records.path, place: records.place(index), expected: "[question, answer, image number]",
                    got: record.kind)
            }
            let isValidation = number.isMultiple(of: 10)
            if split == .test || (split == .validation) == isValidation {
                byNumber[number, default: []].append(
                    QuestionAnswer(question: question, answer: answer, type: Self.type(of: answer)))
            }
        }
        items = byNumber.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        guard !items.isEmpty else { throw DataError.empty(source: records.path) }
    }

    /// "easy-vqa"
    public var name: String { "easy-vqa" }
    /// The number of pictures.
    public var count: Int { items.count }

    /// A picture with its questions; the picture stays in its file.
    public func example(at index: Int) throws -> TrainingExample {
        let (number, turns) = items[index]
        return TrainingExample(
            image: .file("\(images)/\(number).png"), turns: turns, labels: isLabelled ? Self.labels(of: turns) : nil,
            origin: "easy-vqa picture \(number)")
    }

    private static let shapes = ["circle", "rectangle", "triangle"]
    private static let colors = ["black", "blue", "brown", "gray", "green", "red", "teal", "yellow"]

    /// One label for the whole picture, ignored where no question asks for it.
    static func labels(of turns: [QuestionAnswer]) -> DenseLabels {
        func field(_ name: String, _ classes: [String]) -> DenseLabels.Field {
            let known = turns.lazy.compactMap { classes.firstIndex(of: $0.answer) }.first
            return .init(
                name: name, classes: ["background"] + classes,
                values: [known.map { UInt8($0 + 1) } ?? DenseLabels.ignored])
        }
        return DenseLabels(grid: 1, fields: [field("shape", shapes), field("colour", colors)])
    }

    /// What a question is about, by its answer: the data set does not say.
    static func type(of answer: String) -> String {
        switch answer {
        case "yes", "no": "yes-no"
        case _ where shapes.contains(answer): "shape"
        default: "colour"
        }
    }
}
