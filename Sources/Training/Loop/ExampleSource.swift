import Foundation
import LLaVAPipeline
import Tensors
import Tokenization

/// The examples of a data set as a trainer takes them. Features of images are kept in memory as long as there is room:
/// the tower is frozen, so an image is encoded once.
final class ExampleSource {
    let dataset: any TrainingDataset
    private let assistant: Assistant
    private let captions: Bool
    private let limit: Int
    private var known: [Int: Trainer.Item] = [:]
    private var knownBytes = 0

    /// - Parameter limit: bytes of features to keep.
    init(_ dataset: any TrainingDataset, _ assistant: Assistant, captions: Bool, limit: Int) throws {
        guard dataset.count > 0 else { throw DataError.empty(source: dataset.name) }
        self.dataset = dataset
        self.assistant = assistant
        self.captions = captions
        self.limit = limit
    }

    /// What a caption answers.
    static let captionQuestion = "describe the picture."

    /// The example at an index: its features, and its questions as tokens.
    func item(at index: Int) throws -> Trainer.Item {
        if let item = known[index] { return item }
        let example = try dataset.example(at: index)
        var turns = example.turns
        if captions, let caption = example.caption {
            turns.append(QuestionAnswer(question: Self.captionQuestion, answer: caption, type: "caption"))
        }
        let text = try TokenizedExample(
            turns, hasImage: example.image != nil, template: assistant.template.template, tokenizer: assistant.tokenizer
        )
        guard text.turns.contains(where: { $0.labels.contains { $0 >= 0 } }) else {
            throw DataError.invalidExample(
                file: dataset.name, place: example.origin, expected: "an answer to learn", got: "none")
        }
        let features = try withoutGradients {
            try example.image.map { try assistant.model.encode(assistant.model.process($0.decoded())).tensor[0] }
        }
        let item = Trainer.Item(features: features, text: text)
        let bytes = features?.byteCount ?? 0
        if knownBytes + bytes <= limit {
            known[index] = item
            knownBytes += bytes
        }
        return item
    }
}

extension Recipe.DataSource {
    /// The data set that the source names.
    /// - Parameters:
    ///   - directory: what relative paths begin at.
    ///   - side: width and height of pictures that are drawn.
    ///   - labelGrid: the grid of dense labels, if they are wanted.
    func dataset(relativeTo directory: URL, side: Int, labelGrid: Int? = nil) throws -> any TrainingDataset {
        func required<Value>(_ value: Value?, _ key: String) throws -> Value {
            guard let value else {
                throw RecipeError.invalid(
                    file: "the recipe", key: "data.\(key)", expected: "a value for \(set)", got: "none")
            }
            return value
        }
        func path(_ path: String) -> String { Recipe.path(path, relativeTo: directory) }
        switch set {
        case "scenes":
            return ScenesDataset(
                split: try required(split, "split"), count: try required(count, "count"), seed: seed ?? 0,
                questionsPerScene: questions ?? 6, side: side, labelGrid: labelGrid)
        case "fashion":
            return try FashionDataset(
                directory: path(required(self.directory, "directory")), split: required(split, "split"),
                count: required(count, "count"), seed: seed ?? 0, questionsPerScene: questions ?? 6, side: side,
                labelGrid: labelGrid)
        case "easy-vqa":
            return try EasyVQADataset(
                directory: path(required(self.directory, "directory")), split: required(split, "split"),
                isLabelled: labelGrid != nil)
        default:
            let folder = self.directory.map { ImageFolder(path: path($0)) }
            return try QuestionFile(path: path(set), folder: folder)
        }
    }
}
