import Bytes
import Foundation
import ModelFiles
import VisionEncoder

/// A person's own examples: a JSONL file or a JSON array of LLaVA conversations, or of questions with answers.
///
/// LLaVA: `{"image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", ...}]}`.
/// Questions: `{"image": "a.jpg", "question": "What?", "answer": "this"}` or `"answers": ["this", "that"]`, and
/// optionally `type` and `id` (or `question_id`). Both kinds may stand in one file.
public struct QuestionFile: TrainingDataset {
    private let records: RecordIndex
    private let kept: [Int32]
    private let isAnswerOptional: Bool
    /// Where the pictures lie.
    public let folder: ImageFolder
    /// Examples that were passed over because of their pictures.
    public let skippedCount: Int

    /// The file at `path`, whose pictures lie beside it unless another folder is given.
    ///
    /// Every record is read once, so that a mistake in the last line shows before training begins.
    /// - Parameters:
    ///   - skipBad: Passes over examples whose picture is missing or cannot be decoded, and counts them.
    ///   - requiresAnswers: Whether a question without an answer is a mistake; if not, its answer is empty.
    /// - Throws: `DataError`, with the line.
    public init(
        path: String, folder: ImageFolder? = nil, skipBad: Bool = false, requiresAnswers: Bool = true
    ) throws {
        isAnswerOptional = !requiresAnswers
        let folder = folder ?? ImageFolder(path: URL(filePath: path).deletingLastPathComponent().path)
        let records = try RecordIndex(path: path)
        guard records.count <= Int(Int32.max) else {
            throw DataError.unreadable(path: path, reason: "it has \(records.count) examples")
        }
        self.folder = folder
        self.records = records
        var kept: [Int32] = []
        for index in 0..<records.count {
            do {
                let example = try Self.example(at: index, of: records, in: folder, !requiresAnswers)
                if skipBad { _ = try example.image?.decoded() }
                kept.append(Int32(index))
            } catch {
                if skipBad, Self.isAboutImage(error) { continue }
                throw error
            }
        }
        self.kept = kept
        skippedCount = records.count - kept.count
        guard !kept.isEmpty else { throw DataError.empty(source: path) }
    }

    /// The file's name.
    public var name: String { URL(filePath: records.path).lastPathComponent }
    /// The number of examples.
    public var count: Int { kept.count }

    /// The example at an index; its picture stays in its file until it is decoded.
    public func example(at index: Int) throws -> TrainingExample {
        try Self.example(at: Int(kept[index]), of: records, in: folder, isAnswerOptional)
    }

    /// Whether an example may be passed over for an error: a picture that is missing or broken, not one out of bounds.
    private static func isAboutImage(_ error: any Error) -> Bool {
        if let error = error as? DataError {
            if case .missingImage = error { return true }
            return false
        }
        return error is ImageError
    }

    private static func example(
        at index: Int, of records: RecordIndex, in folder: ImageFolder, _ isAnswerOptional: Bool
    ) throws -> TrainingExample {
        let record = try records.value(at: index)
        let reader = RecordReader(
            record: record, file: records.path, place: records.place(index), isAnswerOptional: isAnswerOptional)
        guard record.object != nil else { throw reader.invalid("an object", record.kind) }
        let image = try reader.text("image", isOptional: true).map {
            TrainingExample.Source.file(try folder.resolve($0, file: records.path, place: reader.place))
        }
        let turns =
            record["conversations"] == nil ? [try reader.question()] : try reader.conversation(hasImage: image != nil)
        let name = URL(filePath: records.path).lastPathComponent
        return TrainingExample(image: image, turns: turns, origin: "\(name) \(reader.place)")
    }
}
