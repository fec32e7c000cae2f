import Foundation
import ModelFiles

/// The easy-VQA data set of V. Zhou: pictures of one shape each with questions, in the layout of its package on PyPI.
///
/// `directory` holds `train` and `test`, each with `questions.json` ([[question, answer, image number]]) and
/// `images/N.png`. Validation is every tenth picture of `train`, by the number of the picture.
public struct EasyVQADataset: TrainingDataset {
    /// The split.
    public let split: DataSplit
    private let images: String
    private let items: [(number: Int, turns: [QuestionAnswer])]

    /// The pictures of a split, each with all its questions.
    ///
    /// - Throws: `DataError`; `.noSuchSplit` for the held-out split.
    public init(directory: String, split: DataSplit) throws {
        guard split != .heldOut else {
            throw DataError.noSuchSplit(dataset: "easy-vqa", split: split, available: [.train, .validation, .test])
        }
        self.split = split
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
            image: .file("\(images)/\(number).png"), turns: turns, origin: "easy-vqa picture \(number)")
    }

    /// What a question is about, by its answer: the data set does not say.
    static func type(of answer: String) -> String {
        switch answer {
        case "yes", "no": "yes-no"
        case "circle", "rectangle", "triangle": "shape"
        default: "colour"
        }
    }
}
