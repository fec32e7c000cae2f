/// A JSON value, for files whose keys are not all known beforehand.
///
/// Numbers that are integers in the file and fit `Int` stay exact; all others are doubles.
public enum JSONValue: Sendable, Equatable {
    /// Values by key.
    case object([String: JSONValue])
    /// Values in order.
    case array([JSONValue])
    /// A text.
    case string(String)
    /// A number written without fraction and exponent.
    case integer(Int)
    /// Any other number; always finite.
    case number(Double)
    /// `true` or `false`.
    case boolean(Bool)
    /// `null`.
    case null

    /// The value under `key`; nil if this is no object or has no such key.
    public subscript(key: String) -> JSONValue? {
        if case .object(let members) = self { members[key] } else { nil }
    }

    /// The element at `index`; nil if this is no array or too short.
    public subscript(index: Int) -> JSONValue? {
        if case .array(let elements) = self, elements.indices.contains(index) { elements[index] } else { nil }
    }

    /// The members of an object.
    public var object: [String: JSONValue]? { if case .object(let members) = self { members } else { nil } }
    /// The elements of an array.
    public var array: [JSONValue]? { if case .array(let elements) = self { elements } else { nil } }
    /// The text of a string.
    public var string: String? { if case .string(let text) = self { text } else { nil } }
    /// `true` or `false`.
    public var bool: Bool? { if case .boolean(let value) = self { value } else { nil } }
    /// Whether this is `null`.
    public var isNull: Bool { self == .null }

    /// A number without fraction that fits `Int`: `4096`, and also `4096.0`.
    public var int: Int? {
        switch self {
        case .integer(let value): value
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }

    /// Any number.
    public var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }

    /// The kind of value, for errors: "an object", "the string \"a\"".
    public var kind: String {
        switch self {
        case .object: "an object"
        case .array: "an array"
        case .string(let text): "the string \"\(text.prefix(60))\""
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .boolean(let value): "\(value)"
        case .null: "null"
        }
    }
}
