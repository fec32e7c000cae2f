public import Tensors

/// The bytes of a message in the Protocol Buffers wire format, field by field.
public struct ProtobufBytes {
    /// The message so far.
    public private(set) var bytes: [UInt8] = []

    /// A message without fields.
    public init() {}

    /// The bytes of an unsigned integer, seven bits each.
    public static func varint(_ value: UInt64) -> [UInt8] {
        var (rest, bytes) = (value, [UInt8]())
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    /// Adds a field with a wire type of its own and bytes that follow as they are.
    public mutating func raw(_ field: Int, wireType: UInt64, _ value: [UInt8]) {
        bytes += Self.varint(UInt64(field) << 3 | wireType) + value
    }

    /// Adds an integer.
    public mutating func integer(_ field: Int, _ value: Int) {
        raw(field, wireType: 0, Self.varint(UInt64(bitPattern: Int64(value))))
    }

    /// Adds bytes with their count in front.
    public mutating func bytes(_ field: Int, _ value: [UInt8]) {
        raw(field, wireType: 2, Self.varint(UInt64(value.count)) + value)
    }

    /// Adds a text.
    public mutating func text(_ field: Int, _ value: String) { bytes(field, Array(value.utf8)) }
}

/// Hand-built parts of ONNX models (onnx.proto).
public enum ONNXBytes {
    /// The number of an element type in `TensorProto.DataType`.
    public static func dataType(_ type: ElementType) -> Int {
        switch type {
        case .float32: 1
        case .uint8: 2
        case .int8: 3
        case .int16: 5
        case .int32: 6
        case .int64: 7
        case .bool: 9
        case .float16: 10
        case .float64: 11
        case .bfloat16: 16
        default: preconditionFailure("ONNX has no element type \(type.rawValue)")
        }
    }

    /// A `TensorProto` with its elements as raw bytes.
    public static func tensor(_ name: String, _ tensor: Tensor) -> [UInt8] {
        Self.tensor(name, shape: tensor.shape, dataType: dataType(tensor.elementType)) { $0.bytes(9, tensor.bytes) }
    }

    /// A `TensorProto` whose elements `body` adds.
    public static func tensor(
        _ name: String, shape: [Int], dataType: Int, _ body: (inout ProtobufBytes) -> Void
    ) -> [UInt8] {
        var message = ProtobufBytes()
        for extent in shape { message.integer(1, extent) }
        message.integer(2, dataType)
        message.text(8, name)
        body(&message)
        return message.bytes
    }

    /// A `NodeProto` with integer attributes.
    public static func node(
        _ operation: String, _ name: String, inputs: [String], outputs: [String] = [], attributes: [String: Int] = [:]
    ) -> [UInt8] {
        var message = ProtobufBytes()
        for input in inputs { message.text(1, input) }
        for output in outputs { message.text(2, output) }
        message.text(3, name)
        message.text(4, operation)
        for (name, value) in attributes.sorted(by: { $0.key < $1.key }) {
            var attribute = ProtobufBytes()
            attribute.text(1, name)
            attribute.integer(3, value)
            attribute.integer(20, 2)
            message.bytes(5, attribute.bytes)
        }
        return message.bytes
    }

    /// A `ModelProto` of a graph with these nodes and initializers.
    public static func model(nodes: [[UInt8]] = [], initializers: [[UInt8]]) -> [UInt8] {
        var graph = ProtobufBytes()
        for node in nodes { graph.bytes(1, node) }
        graph.text(2, "main_graph")
        for initializer in initializers { graph.bytes(5, initializer) }
        return model(graph: graph.bytes)
    }

    /// A `ModelProto` around the bytes of a graph.
    public static func model(graph: [UInt8]) -> [UInt8] {
        var operatorSet = ProtobufBytes()
        operatorSet.integer(2, 14)
        var model = ProtobufBytes()
        model.integer(1, 7)
        model.text(2, "by hand")
        model.text(3, "1.0")
        model.bytes(7, graph)
        model.bytes(8, operatorSet.bytes)
        return model.bytes
    }
}
