import Foundation

/// A JSON object read from a file, whose values are asked for by key and type; errors name the file and the key.
struct JSONObject {
    private enum Value: Decodable {
        case null
        case bool(Bool)
        case number(Double)
        case string(String)
        case array([Value])
        case object([String: Value])

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
            } else if let value = try? container.decode([Value].self) {
                self = .array(value)
            } else {
                self = .object(try container.decode([String: Value].self))
            }
        }
    }

    private let file: String
    private let values: [String: Value]

    /// Reads the file at `url`; nil when there is none.
    init?(_ url: URL) throws(TokenizationError) {
        file = url.path(percentEncoded: false)
        guard FileManager.default.fileExists(atPath: file) else { return nil }
        let data: Data
        do { data = try Data(contentsOf: url) } catch {
            throw .unreadableFile(file: file, reason: error.localizedDescription)
        }
        do { values = try JSONDecoder().decode([String: Value].self, from: data) } catch {
            throw .invalidConfiguration(file: file, key: "(whole file)", problem: "it is not a JSON object")
        }
    }

    private init(file: String, values: [String: Value]) {
        self.file = file
        self.values = values
    }

    /// The keys in ascending order.
    var keys: [String] { values.keys.sorted() }

    /// Whether the key is there, be it with null.
    func has(_ key: String) -> Bool { values[key] != nil }

    /// The Boolean under `key`; nil when absent or null.
    func bool(_ key: String) throws(TokenizationError) -> Bool? {
        switch values[key] {
        case nil, .null: return nil
        case .bool(let value): return value
        default: throw invalid(key, "it is not true or false")
        }
    }

    /// The number under `key`; nil when absent or null.
    func number(_ key: String) throws(TokenizationError) -> Double? {
        switch values[key] {
        case nil, .null: return nil
        case .number(let value): return value
        default: throw invalid(key, "it is not a number")
        }
    }

    /// The string under `key`; nil when absent or null.
    func string(_ key: String) throws(TokenizationError) -> String? {
        switch values[key] {
        case nil, .null: return nil
        case .string(let value): return value
        default: throw invalid(key, "it is not a string")
        }
    }

    /// The object under `key`; nil when absent or null.
    func object(_ key: String) throws(TokenizationError) -> JSONObject? {
        switch values[key] {
        case nil, .null: return nil
        case .object(let values): return JSONObject(file: file, values: values)
        default: throw invalid(key, "it is not an object")
        }
    }

    /// The token under `key` and whether it is a bare string rather than an object; nil when absent, null or empty.
    func token(_ key: String) throws(TokenizationError) -> (token: AddedToken, isBare: Bool)? {
        try values[key].flatMap { value throws(TokenizationError) in try token(value, key) }
    }

    /// The tokens of the array under `key`; none when absent or null.
    func tokens(_ key: String) throws(TokenizationError) -> [(token: AddedToken, isBare: Bool)] {
        switch values[key] {
        case nil, .null: return []
        case .array(let values):
            var tokens: [(token: AddedToken, isBare: Bool)] = []
            for value in values {
                guard let token = try token(value, key) else { throw invalid(key, "a token in it is empty") }
                tokens.append(token)
            }
            return tokens
        default: throw invalid(key, "it is not an array")
        }
    }

    /// The error that `key` holds something unusable.
    func invalid(_ key: String, _ problem: String) -> TokenizationError {
        .invalidConfiguration(file: file, key: key, problem: problem)
    }

    private func token(
        _ value: Value, _ key: String
    ) throws(TokenizationError) -> (token: AddedToken, isBare: Bool)? {
        switch value {
        case .null, .string(""): return nil
        case .string(let content): return (AddedToken(content), true)
        case .object(let values):
            let object = JSONObject(file: file, values: values)
            guard let content = try object.string("content"), !content.isEmpty else {
                throw invalid(key, "a token in it has no content")
            }
            let token = AddedToken(
                content, stripsLeft: try object.bool("lstrip") ?? false,
                stripsRight: try object.bool("rstrip") ?? false,
                isSingleWord: try object.bool("single_word") ?? false, isSpecial: try object.bool("special") ?? false)
            return (token, false)
        default: throw invalid(key, "it is neither a string nor a token object")
        }
    }
}
