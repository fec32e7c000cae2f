import Foundation
import VisionEncoder

/// All PNG and JPEG files of a folder and the folders in it, each with the same question: for captions and for looking.
public struct PictureFolder: TrainingDataset {
    private let paths: [String]
    private let question: String
    private let root: String
    /// Files that were passed over because they cannot be decoded.
    public let skippedCount: Int

    /// The pictures of a folder, in the order of their paths' bytes.
    ///
    /// The answer is the text of a file of the same name that ends in `.txt`, or the name of the folder the picture is in.
    /// - Parameter skipBad: Passes over pictures that cannot be decoded, and counts them.
    /// - Throws: `DataError.unreadable` or `.empty`, and `ImageError` for a bad picture.
    public init(path: String, question: String = "what is in the picture?", skipBad: Bool = false) throws {
        let url = URL(filePath: path)
        guard
            let found = FileManager.default.enumerator(
                at: url, includingPropertiesForKeys: [.isRegularFileKey], options: [.skipsHiddenFiles])
        else { throw DataError.unreadable(path: path, reason: "it is not a folder that can be listed") }
        var candidates: [String] = []
        for case let file as URL in found where ["png", "jpg", "jpeg"].contains(file.pathExtension.lowercased()) {
            candidates.append(file.path)
        }
        candidates.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        var kept: [String] = []
        for candidate in candidates {
            do {
                _ = try RGBImage(contentsOf: candidate)
                kept.append(candidate)
            } catch {
                guard skipBad else { throw error }
            }
        }
        guard !kept.isEmpty else { throw DataError.empty(source: path) }
        paths = kept
        skippedCount = candidates.count - kept.count
        root = path
        self.question = question
    }

    /// The folder's name.
    public var name: String { URL(filePath: root).lastPathComponent }
    /// The number of pictures.
    public var count: Int { paths.count }

    /// The picture at an index with its text.
    public func example(at index: Int) throws -> TrainingExample {
        let url = URL(filePath: paths[index])
        let text = url.deletingPathExtension().appendingPathExtension("txt")
        var answer = url.deletingLastPathComponent().lastPathComponent
        if FileManager.default.fileExists(atPath: text.path) {
            do { answer = try String(contentsOf: text, encoding: .utf8) } catch {
                throw DataError.unreadable(path: text.path, reason: error.localizedDescription)
            }
        }
        answer = answer.trimmingCharacters(in: .whitespacesAndNewlines)
        return TrainingExample(
            image: .file(url.path), turns: [QuestionAnswer(question: question, answer: answer, type: "caption")],
            caption: answer, origin: url.path)
    }
}
