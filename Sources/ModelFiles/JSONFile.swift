public import Bytes
public import Foundation
internal import Tensors

/// JSON files, with errors that name the file.
public enum JSONFile {
    static let maximumByteCount = 100_000_000

    /// Decodes the file at `path`; keys such as `hidden_size` fill properties such as `hiddenSize`.
    /// - Throws: what `JSONValue.init(contentsOf:)` throws, and `CheckpointError.unexpectedValue` with the key's path
    ///   if the file does not fit `type`.
    public static func decode<Value: Decodable>(_ type: Value.Type, from path: String) throws -> Value {
        try decode(type, from: data(path), file: path)
    }

    /// The bytes of a file that is not too large.
    private static func data(_ path: String) throws -> Data {
        let file = try MemoryMappedFile.open(path)
        guard file.byteCount <= maximumByteCount else {
            throw CheckpointError.unreadable(
                path: path, reason: "\(file.byteCount) bytes, expected JSON of at most \(maximumByteCount)")
        }
        var reader = try FileReader(file, part: "JSON")
        return Data(try reader.bytes(file.byteCount))
    }

    /// The value in the file and the bytes it was read from.
    package static func read(_ path: String) throws -> (value: JSONValue, data: Data) {
        let data = try data(path)
        return (try JSONValue(parsing: [UInt8](data), source: path), data)
    }

    /// Decodes bytes that stand for the file at `file`.
    public static func decode<Value: Decodable>(_ type: Value.Type, from data: Data, file: String) throws -> Value {
        // Foundation takes more for JSON than we do, and one of two members with the same key.
        _ = try JSONValue(parsing: [UInt8](data), source: file)
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(type, from: data)
        } catch let error as DecodingError {
            throw CheckpointError(error, file: file)
        }
    }
}

extension JSONValue {
    /// Reads the file at `path`, of at most 100 MB.
    /// - Throws: `CheckpointError.unreadable`, or `.invalidJSON` with line and column; a key that an object holds twice
    ///   is invalid, and so are more than 128 levels.
    public init(contentsOf path: String) throws {
        self = try JSONFile.read(path).value
    }

    /// Reads a text held in memory; `source` names it in errors, as in `init(contentsOf:)`.
    /// - Throws: `CheckpointError.invalidJSON`.
    public init(parsing text: [UInt8], source: String) throws {
        try self.init(text, file: source, failing: CheckpointError.self)
    }
}

extension CheckpointError {
    /// The same error in terms of a file and the path of a key in it.
    fileprivate init(_ error: DecodingError, file: String) {
        // As they are written in the file, so that a reader finds them there.
        func path(_ keys: [any CodingKey]) -> String {
            keys.map { key in
                key.intValue.map(String.init) ?? ConfigurationKey.snakeCase(key.stringValue)
            }.joined(separator: ".")
        }
        switch error {
        case .keyNotFound(let key, let context):
            self = .unexpectedValue(
                file: file, key: path(context.codingPath + [key]), expected: "a value", got: "missing")
        case .valueNotFound(let type, let context):
            self = .unexpectedValue(
                file: file, key: path(context.codingPath), expected: "\(type)", got: "null or missing")
        case .typeMismatch(let type, let context):
            self = .unexpectedValue(
                file: file, key: path(context.codingPath), expected: "\(type)", got: "a value of another type")
        case .dataCorrupted(let context) where context.codingPath.isEmpty:
            // The text is well-formed JSON, so all that Foundation can mean is a number that its type cannot hold; it
            // does not say which.
            self = .unexpectedValue(
                file: file, key: "", expected: "whole numbers where integers are read",
                got: "an object with a fraction or a number too large among them")
        case .dataCorrupted(let context):
            self = .unexpectedValue(
                file: file, key: path(context.codingPath), expected: "a value that fits", got: context.debugDescription)
        @unknown default:
            self = .unexpectedValue(file: file, key: "", expected: "a value that fits", got: "\(error)")
        }
    }
}
