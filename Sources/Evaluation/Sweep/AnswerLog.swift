import Foundation
import ModelFiles

/// Settings of an evaluation that its answers depend on: answers of another one are not gone on from.
public struct AnswerSettings: Sendable, Equatable, Codable {
    /// Form of the file.
    public var version = 1
    /// `DatasetChecksum` of what is asked.
    public var checksum: String
    /// Paths of the models and `FileStamp` of their files.
    public var models: [String]
    /// Whatever else was asked for that answers depend on.
    public var options: String
    /// Budgets from the largest on; empty where the models' number is fixed.
    public var visualTokens: [Int]
    /// The most tokens of an answer.
    public var maximumTokens: Int
    /// Pictures whose first question is also read from the beginning.
    public var timedPictures: Int
    /// Whether products with quantised weights are native.
    public var quantizedProducts: String

    /// The first setting that differs from another's, with both values.
    func difference(from other: AnswerSettings) -> (key: String, own: String, other: String)? {
        let pairs = [
            ("version", "\(version)", "\(other.version)"), ("checksum of the data", checksum, other.checksum),
            ("models", models.joined(separator: ", "), other.models.joined(separator: ", ")),
            ("options", options, other.options),
            ("visual tokens", "\(visualTokens)", "\(other.visualTokens)"),
            ("longest answer", "\(maximumTokens)", "\(other.maximumTokens)"),
            ("timed prompts", "\(timedPictures)", "\(other.timedPictures)"),
            ("products", quantizedProducts, other.quantizedProducts),
        ]
        return pairs.first { $0.1 != $0.2 }.map { (key: $0.0, own: $0.1, other: $0.2) }
    }
}

/// Answers so far, a picture a line behind a line of settings: what an evaluation goes on from after it was stopped.
///
/// A line that was cut by a kill is dropped and its picture asked about again.
public final class AnswerLog {
    private let handle: FileHandle
    private let path: String
    /// Pictures that were asked about already.
    public private(set) var records: [PictureRecord]

    /// Opens the log at `path`, or begins it.
    /// - Throws: `EvaluationError.unwritable`, or `.otherEvaluation` for a log of other settings.
    public init(path: String, settings: AnswerSettings) throws {
        self.path = path
        let url = URL(filePath: path)
        let encoder = Self.encoder
        do {
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            let lines = ((try? Data(contentsOf: url)) ?? Data()).split(separator: UInt8(ascii: "\n"))
            var kept = try encoder.encode(settings) + Data("\n".utf8)
            var records: [PictureRecord] = []
            if let first = lines.first {
                guard let begun = try? Self.decoder.decode(AnswerSettings.self, from: first) else {
                    throw EvaluationError.otherEvaluation(
                        path: path, key: "its first line", expected: "settings", got: "something else")
                }
                if let (key, own, other) = settings.difference(from: begun) {
                    throw EvaluationError.otherEvaluation(path: path, key: key, expected: own, got: other)
                }
                for line in lines.dropFirst() {
                    guard let record = try? Self.decoder.decode(PictureRecord.self, from: line) else { break }
                    kept += line + Data("\n".utf8)
                    records.append(record)
                }
            }
            try kept.write(to: url, options: .atomic)
            handle = try FileHandle(forWritingTo: url)
            try handle.seekToEnd()
            self.records = records
        } catch let error as EvaluationError {
            throw error
        } catch {
            throw EvaluationError.unwritable(path: path, reason: error.localizedDescription)
        }
    }

    deinit { try? handle.close() }

    /// Adds a picture.
    /// - Throws: `EvaluationError.unwritable`.
    public func append(_ record: PictureRecord) throws {
        do { try handle.write(contentsOf: Self.encoder.encode(record) + Data("\n".utf8)) } catch {
            throw EvaluationError.unwritable(path: path, reason: error.localizedDescription)
        }
        records.append(record)
    }

    private static var encoder: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return encoder
    }

    private static var decoder: JSONDecoder {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return decoder
    }
}
