import Foundation

/// A JSON value of a configuration file.
enum ConfigurationValue: Decodable, Equatable, CustomStringConvertible {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([ConfigurationValue])
    case object([String: ConfigurationValue])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([ConfigurationValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: ConfigurationValue].self))
        }
    }

    /// A whole number, as one.
    var integer: Int? {
        if case .number(let value) = self { Int(exactly: value) } else { nil }
    }

    var description: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .number(let value): Int(exactly: value).map { "\($0)" } ?? "\(value)"
        case .string(let value): "\"\(value)\""
        case .array(let values): "[\(values.map(\.description).joined(separator: ", "))]"
        case .object(let pairs):
            "{\(pairs.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", "))}"
        }
    }
}

/// The top level of a JSON configuration file, read key by key with errors that name the file and the key.
struct ConfigurationObject {
    let file: String
    let values: [String: ConfigurationValue]

    init(_ bytes: [UInt8], file: String) throws {
        self.file = file
        do {
            values = try JSONDecoder().decode([String: ConfigurationValue].self, from: Data(bytes))
        } catch {
            throw ImageError.configuration(
                file: file, key: "the file", expected: "one JSON object", got: "not JSON, or not an object")
        }
    }

    /// The value of `key`, where null counts as absent, as for Hugging Face's processors.
    subscript(key: String) -> ConfigurationValue? {
        values[key].flatMap { $0 == .null ? nil : $0 }
    }

    /// The value of `key` as `read` understands it, or nil if there is none.
    func value<Value>(
        _ key: String, expected: String, _ read: (ConfigurationValue) throws -> Value?
    ) throws -> Value? {
        guard let found = self[key] else { return nil }
        guard let value = try read(found) else { throw error(key, expected: expected) }
        return value
    }

    func bool(_ key: String) throws -> Bool? {
        try value(key, expected: "true or false") { if case .bool(let value) = $0 { value } else { nil } }
    }

    func error(_ key: String, expected: String) -> ImageError {
        .configuration(file: file, key: key, expected: expected, got: values[key]?.description ?? "missing")
    }
}
