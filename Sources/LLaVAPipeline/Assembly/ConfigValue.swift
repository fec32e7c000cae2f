import Bytes
import Foundation

extension AssembledModel {
    /// A value of config.json.
    public enum ConfigValue: Sendable, Equatable, Codable {
        case bool(Bool)
        case integer(Int)
        case number(Double)
        case string(String)
        case array([ConfigValue])

        /// The same value; nil for null and for objects, which no key that a model is made from has.
        init?(_ value: JSONValue) {
            switch value {
            case .boolean(let value): self = .bool(value)
            case .integer(let value): self = .integer(value)
            case .number(let value): self = .number(value)
            case .string(let value): self = .string(value)
            case .array(let values):
                let elements = values.compactMap(ConfigValue.init)
                guard elements.count == values.count else { return nil }
                self = .array(elements)
            case .object, .null: return nil
            }
        }

        /// Reads a value of any of these kinds.
        public init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let value = try? container.decode(Bool.self) {
                self = .bool(value)
            } else if let value = try? container.decode(Int.self) {
                self = .integer(value)
            } else if let value = try? container.decode(Double.self) {
                self = .number(value)
            } else if let value = try? container.decode([ConfigValue].self) {
                self = .array(value)
            } else {
                self = .string(try container.decode(String.self))
            }
        }

        /// Writes the value alone.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .bool(let value): try container.encode(value)
            case .integer(let value): try container.encode(value)
            case .number(let value): try container.encode(value)
            case .string(let value): try container.encode(value)
            case .array(let values): try container.encode(values)
            }
        }

        /// The value as JSON.
        var json: String {
            switch self {
            case .bool(let value): "\(value)"
            case .integer(let value): "\(value)"
            case .number(let value): "\(value)"
            case .string(let value):
                (try? JSONEncoder().encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "\"\""
            case .array(let values): "[\(values.map(\.json).joined(separator: ", "))]"
            }
        }
    }
}
