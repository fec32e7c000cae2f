internal import Bytes

/// An operation of an ONNX graph.
public struct ONNXNode: Sendable, Equatable {
    /// The value of an attribute.
    public enum Attribute: Sendable, Equatable {
        /// One integer.
        case integer(Int)
        /// One number.
        case number(Float)
        /// A text in UTF-8.
        case text(String)
        /// A list of integers.
        case integers([Int])
        /// Something that no weight's name or orientation depends on (a tensor, a subgraph, other lists), not read.
        case other
    }

    /// Path of the operation in the model it was exported from, `/encoder/layer.0/mlp/fc1/MatMul`; empty if it has none.
    public internal(set) var name = ""
    /// `MatMul`, `Conv`, ...
    public internal(set) var operation = ""
    /// Names of the values it reads; an input that is left out is empty.
    public internal(set) var inputs: [String] = []
    /// Names of the values it makes.
    public internal(set) var outputs: [String] = []
    /// Attributes by name.
    public internal(set) var attributes: [String: Attribute] = [:]

    /// The module the operation belongs to, its path without the operation and with dots: `encoder.layer.0.mlp.fc1`.
    /// Nil if the name is not such a path.
    public var module: String? {
        var parts = name.split(separator: "/")
        guard name.hasPrefix("/"), parts.count > 1, let last = parts.popLast(),
            last == operation || last.hasPrefix(operation + "_")
        else { return nil }
        return parts.joined(separator: ".")
    }
}

extension ONNXNode {
    /// Reads a `NodeProto`.
    init(_ message: FileMessage, _ allowance: inout ONNXAllowance) throws {
        var message = message
        while let field = try message.next() {
            try allowance.take(message, field)
            switch field.number {
            case 1: inputs.append(try message.text(of: field))
            case 2: outputs.append(try message.text(of: field))
            case 3: name = try message.text(of: field)
            case 4: operation = try message.text(of: field)
            case 5:
                let (name, value) = try Self.attribute(message.message(in: field, part: "attribute"), &allowance)
                attributes[name] = value
            default: break
            }
        }
    }

    /// Reads an `AttributeProto`.
    private static func attribute(
        _ message: FileMessage, _ allowance: inout ONNXAllowance
    ) throws -> (String, Attribute) {
        var message = message
        var name = ""
        var value = Attribute.other
        var integers: [Int] = []
        while let field = try message.next() {
            try allowance.take(message, field)
            switch field.number {
            case 1: name = try message.text(of: field)
            case 2: if case .fixed32(let bits) = field.value { value = .number(Float(bitPattern: bits)) }
            case 3: value = .integer(try message.integer(of: field))
            case 4: if let text = try? message.text(of: field) { value = .text(text) }
            case 8: try message.forEachInteger(of: field) { integers.append($0) }
            default: break
            }
        }
        return (name, integers.isEmpty ? value : .integers(integers))
    }
}

/// How many fields the structure of a file may still have: small fields must not become many large values in memory.
struct ONNXAllowance {
    private static let maximum = 2_000_000
    private var remaining = maximum

    /// Counts one field.
    mutating func take(_ message: FileMessage, _ field: FileMessage.Field) throws {
        remaining -= 1
        guard remaining >= 0 else {
            throw message.damaged(field, expected: "a graph of at most \(Self.maximum) fields", got: "more")
        }
    }
}
