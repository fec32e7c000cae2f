public import Foundation
import LLaVAPipeline
import Tensors
import Tokenization
import VisionEncoder

/// The examples of a data set as a trainer takes them. Features of images are kept in memory as long as there is room:
/// the tower is frozen, so an image is encoded once.
final class ExampleSource {
    let dataset: any TrainingDataset
    private let assistant: Assistant
    private let captions: Bool
    private let memory: FeatureMemory
    private var known: [Int: Trainer.Item] = [:]

    /// - Parameter memory: where features are kept as long as there is room.
    init(_ dataset: any TrainingDataset, _ assistant: Assistant, captions: Bool, memory: FeatureMemory) throws {
        guard dataset.count > 0 else { throw DataError.empty(source: dataset.name) }
        self.dataset = dataset
        self.assistant = assistant
        self.captions = captions
        self.memory = memory
    }

    /// The examples at some indices: their features, and their questions as tokens. Those that are not known yet are
    /// drawn side by side and encoded together.
    func items(at indices: [Int]) throws -> [Trainer.Item] {
        let missing = Set(indices).subtracting(known.keys).sorted()
        let drawn = try missing.mappedConcurrently { try read(at: $0) }
        let seen = drawn.indices.filter { drawn[$0].image != nil }
        let features = try withoutGradients {
            try assistant.model.encode(seen.compactMap { try drawn[$0].image.map(assistant.model.process) })
        }
        var new: [Int: Trainer.Item] = [:]
        for (place, index) in missing.enumerated() {
            new[index] = Trainer.Item(features: nil, text: drawn[place].text)
        }
        for (place, features) in zip(seen, features) { new[missing[place]]?.features = features.tensor[0] }
        for (index, item) in new where memory.takes(item.features?.byteCount ?? 0) { known[index] = item }
        return indices.compactMap { known[$0] ?? new[$0] }
    }

    /// The picture and the tokens of an example.
    private func read(at index: Int) throws -> (image: RGBImage?, text: TokenizedExample) {
        let example = try dataset.example(at: index)
        var turns = example.turns
        if captions, let caption = example.captionTurn { turns.append(caption) }
        let text = try TokenizedExample(
            turns, hasImage: example.image != nil, template: assistant.template.template, tokenizer: assistant.tokenizer
        )
        guard text.turns.contains(where: { $0.labels.contains { $0 >= 0 } }) else {
            throw DataError.invalidExample(
                file: dataset.name, place: example.origin, expected: "an answer to learn", got: "none")
        }
        return (try example.image?.decoded(), text)
    }
}

/// The room that the features of all data sets share.
final class FeatureMemory {
    private var left: Int

    init(bytes: Int) { left = bytes }

    /// Whether there is room for so many bytes, which is taken.
    func takes(_ bytes: Int) -> Bool {
        guard bytes <= left else { return false }
        left -= bytes
        return true
    }
}

extension TrainingExample {
    /// What a caption answers.
    static let captionQuestion = "describe the picture."

    /// The caption as a question and its answer.
    var captionTurn: QuestionAnswer? {
        caption.map { QuestionAnswer(question: Self.captionQuestion, answer: $0, type: "caption") }
    }

    /// The question for a caption, and the caption; nothing for an example without one.
    public var captionTexts: [String] { captionTurn.map { [$0.question, $0.answer] } ?? [] }
}

extension Recipe {
    /// The data sets that the recipe trains on.
    /// - Parameter path: the recipe's own, which relative paths begin at.
    public func trainingData(relativeTo path: String) throws -> [any TrainingDataset] {
        let base = URL(filePath: path).deletingLastPathComponent()
        return try data.map { try $0.dataset(relativeTo: base, side: 128) }
    }
}

extension Recipe.DataSource {
    /// The data set that the source names.
    /// - Parameters:
    ///   - directory: what relative paths begin at.
    ///   - side: width and height of pictures that are drawn.
    ///   - labelGrid: the grid of dense labels, if they are wanted.
    ///   - requiresAnswers: whether a question of a file without an answer is a mistake.
    ///   - skipBad: whether to pass over examples of a file whose picture is missing or cannot be decoded.
    /// - Throws: `RecipeError.invalid` for a source that leaves out what its set needs, and `DataError`.
    public func dataset(
        relativeTo directory: URL, side: Int, labelGrid: Int? = nil, requiresAnswers: Bool = true,
        skipBad: Bool = false
    ) throws -> any TrainingDataset {
        func required<Value>(_ value: Value?, _ key: String) throws -> Value {
            guard let value else {
                throw RecipeError.invalid(
                    file: "the recipe", key: "data.\(key)", expected: "a value for \(set)", got: "none")
            }
            return value
        }
        func path(_ path: String) -> String { Recipe.path(path, relativeTo: directory) }
        guard kinds == nil || set == "scenes" else {
            throw RecipeError.invalid(
                file: "the recipe", key: "data.kinds", expected: "scenes, which have kinds to choose from", got: set)
        }
        switch set {
        case "scenes":
            let kinds = try kinds.map { names in
                try names.map { name in
                    guard let kind = SceneQuestionKind(rawValue: name) else {
                        throw RecipeError.invalid(
                            file: "the recipe", key: "data.kinds",
                            expected: SceneQuestionKind.allCases.map(\.rawValue).joined(separator: ", "), got: name)
                    }
                    return kind
                }
            }
            guard kinds?.isEmpty != true else {
                throw RecipeError.invalid(
                    file: "the recipe", key: "data.kinds", expected: "at least one kind", got: "none")
            }
            return ScenesDataset(
                split: try required(split, "split"), count: try required(count, "count"), seed: seed ?? 0,
                questionsPerScene: questions ?? 6,
                kinds: kinds ?? SceneQuestionKind.allCases, side: side, labelGrid: labelGrid)
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
            return try QuestionFile(path: path(set), folder: folder, skipBad: skipBad, requiresAnswers: requiresAnswers)
        }
    }
}
