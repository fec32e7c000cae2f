public import VisionEncoder

/// Examples to train and score a model with, by index: a loop may take them in any order and resume anywhere.
public protocol TrainingDataset: Sendable {
    /// What the data set is called in logs and tables.
    var name: String { get }
    /// The number of examples.
    var count: Int { get }
    /// The example at an index of 0..<`count`; the same one whenever it is asked for.
    ///
    /// - Throws: `DataError` or `ImageError` where the example comes from a file that cannot be read.
    func example(at index: Int) throws -> TrainingExample
}

extension TrainingDataset {
    /// The example at an index of 0..<`count`.
    public subscript(index: Int) -> TrainingExample {
        get throws { try example(at: index) }
    }
}

/// A picture with what is said about it.
public struct TrainingExample: Sendable {
    /// The picture; nil for text alone.
    public var image: Source?
    /// Questions and answers in order.
    public var turns: [QuestionAnswer]
    /// A short description, where the data set has one.
    public var caption: String?
    /// What is seen in every part of the picture, where the data set knows and was asked for it.
    public var labels: DenseLabels?
    /// Where the example comes from, for errors: "test scene 12", "data.jsonl line 3".
    public var origin: String

    /// A picture in memory or in a file.
    public enum Source: Sendable, Equatable {
        /// Pixels that were drawn or decoded.
        case pixels(RGBImage)
        /// The path of a PNG or JPEG file, which is decoded when it is needed.
        case file(String)
        /// The bytes of a PNG or JPEG file, with a name for errors.
        case encoded([UInt8], name: String)

        /// The pixels.
        /// - Throws: `ImageError`.
        public func decoded() throws -> RGBImage {
            switch self {
            case .pixels(let image): image
            case .file(let path): try RGBImage(contentsOf: path)
            case .encoded(let bytes, let name): try RGBImage(decoding: bytes, named: name)
            }
        }
    }

    /// An example.
    public init(
        image: Source?, turns: [QuestionAnswer], caption: String? = nil, labels: DenseLabels? = nil, origin: String
    ) {
        self.image = image
        self.turns = turns
        self.caption = caption
        self.labels = labels
        self.origin = origin
    }
}

/// A question, its answer, and what kind of question it is.
public struct QuestionAnswer: Sendable, Hashable, Codable {
    /// What is asked.
    public var question: String
    /// The answer; where a data set accepts several, the first. Empty where a file that needs none has none.
    public var answer: String
    /// All answers that a data set accepts or that people gave, where there are several.
    public var answers: [String]?
    /// What a data set calls the question, where it does.
    public var id: String?
    /// The kind of question, by which accuracy is broken down: "count", "colour".
    public var type: String
    /// The question that this is one of several arrangements of, which counts as understood only if all of them are
    /// answered right; nil where there is one.
    public var circle: String?

    /// What an answer is compared with: all answers, or the only one; empty if there is none.
    public var references: [String] { answers ?? (answer.isEmpty ? [] : [answer]) }

    /// A question and its answer.
    public init(question: String, answer: String, type: String, answers: [String]? = nil, id: String? = nil) {
        self.question = question
        self.answer = answer
        self.type = type
        self.answers = answers
        self.id = id
    }
}

/// What is seen in every cell of a square grid over a picture, for training a vision tower directly.
public struct DenseLabels: Sendable, Equatable {
    /// The class of cells that should not count: an object only grazes them.
    public static let ignored: UInt8 = 255

    /// One thing to be told about a cell.
    public struct Field: Sendable, Equatable {
        /// What it is: "shape", "colour".
        public let name: String
        /// The names of the classes; the first is "background".
        public let classes: [String]
        /// The class of every cell [grid, grid] in raster order, or `ignored`.
        public let values: [UInt8]
    }

    /// Cells along a side.
    public let grid: Int
    /// What is told about the cells.
    public let fields: [Field]
}
