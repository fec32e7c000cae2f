import Foundation
import ModelFiles
import VisionEncoder

/// Writes a data set as pictures and lines of JSON that `QuestionFile` reads back.
public struct DatasetWriter: Sendable {
    /// What was written.
    public struct Summary: Sendable, Equatable, Codable {
        /// The data set's name.
        public var dataset: String
        /// Examples.
        public var examples = 0
        /// Questions.
        public var questions = 0
        /// Questions by type and answer.
        public var answers: [String: [String: Int]] = [:]
        /// Digest over questions and pixels; store it with every score.
        public var checksum = ""
    }

    /// One line of `questions.jsonl`.
    private struct Line: Encodable {
        var id: String
        var image: String
        var question: String
        var answer: String
        var type: String
    }

    private struct CaptionLine: Encodable {
        var id: String
        var image: String
        var caption: String
    }

    /// The directory to write into.
    public let directory: String

    /// A writer into a directory, which is made if it is not there.
    public init(directory: String) { self.directory = directory }

    /// Writes `images/N.png`, `questions.jsonl`, `captions.jsonl` where there are captions, and `checksum.txt`.
    ///
    /// - Parameter progress: Is told how many examples are written.
    /// - Throws: `DataError.unwritable`, and whatever reading the data set throws.
    public func write(_ dataset: some TrainingDataset, progress: (Int) -> Void = { _ in }) throws -> Summary {
        let root = URL(filePath: directory)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var summary = Summary(dataset: dataset.name)
        var checksum = DatasetChecksum()
        var (questions, captions) = (Data(), Data())
        do {
            try FileManager.default.createDirectory(
                at: root.appending(path: "images"), withIntermediateDirectories: true)
        } catch { throw DataError.unwritable(path: directory, reason: error.localizedDescription) }
        for index in 0..<dataset.count {
            let example = try dataset.example(at: index)
            let name = "images/\(index).png"
            if let image = try example.image?.decoded() {
                try save(Data(image.pngBytes()), to: root.appending(path: name))
            }
            for (number, turn) in example.turns.enumerated() {
                let line = Line(
                    id: "\(index)-\(number)", image: name, question: turn.question, answer: turn.answer, type: turn.type
                )
                questions += try encoder.encode(line) + Data("\n".utf8)
                summary.questions += 1
                summary.answers[turn.type, default: [:]][turn.answer, default: 0] += 1
            }
            if let caption = example.caption {
                captions +=
                    try encoder.encode(CaptionLine(id: "\(index)", image: name, caption: caption)) + Data("\n".utf8)
            }
            try checksum.add(example)
            summary.examples += 1
            progress(index + 1)
        }
        summary.checksum = checksum.hexadecimal()
        try save(questions, to: root.appending(path: "questions.jsonl"))
        if !captions.isEmpty { try save(captions, to: root.appending(path: "captions.jsonl")) }
        try save(Data("\(summary.checksum)\n".utf8), to: root.appending(path: "checksum.txt"))
        return summary
    }

    private func save(_ data: Data, to url: URL) throws {
        do { try data.write(to: url, options: .atomic) } catch {
            throw DataError.unwritable(path: url.path, reason: error.localizedDescription)
        }
    }
}
