internal import Bytes
public import Tensors

/// A constant of an ONNX graph: a weight.
public struct ONNXInitializer: Sendable {
    enum Contents: Sendable {
        /// The elements lie in the file from here on.
        case mapped(offset: Int)
        /// The elements were written as numbers and had to be decoded.
        case decoded([UInt8])
    }

    /// Name in the graph.
    public let name: String
    /// Extents as they are stored.
    public let shape: [Int]
    /// How the elements are stored.
    public let elementType: ElementType
    let contents: Contents

    /// Bytes of the elements.
    public var byteCount: Int { shape.reduce(1, *) * elementType.byteCount }
}

extension ONNXInitializer {
    /// Element types by their number in `TensorProto.DataType`.
    private static let elementTypes: [Int: ElementType] = [
        1: .float32, 2: .uint8, 3: .int8, 5: .int16, 6: .int32, 7: .int64, 9: .bool, 10: .float16, 11: .float64,
        16: .bfloat16,
    ]

    /// Reads a `TensorProto`.
    /// - Throws: `CheckpointError`; among others for elements in another file, which is never looked for.
    init(_ message: FileMessage, file: String, _ allowance: inout ONNXAllowance) throws {
        var message = message
        var (name, type, shape) = ("", 0, [Int]())
        var isExternal = false
        var places: [Range<Int>] = []
        var isRaw = false
        var numbers = Numbers()
        while let field = try message.next() {
            try allowance.take(message, field)
            switch field.number {
            case 1:
                try message.forEachInteger(of: field) { extent in
                    guard shape.count < TensorShape.maximumRank else {
                        throw CheckpointError.invalidShape(file: file, tensor: name, shape: shape + [extent])
                    }
                    shape.append(extent)
                }
            case 2: type = try message.integer(of: field)
            case 8: name = try message.text(of: field)
            case 9: (places, isRaw) = ([try message.range(of: field)], true)
            case 4, 5, 7, 10:
                // Packed float32 and float64 are their bytes; everything else is decoded.
                if case .bytes(let range) = field.value, field.number == 4 || field.number == 10 {
                    if !isRaw { places.append(range) }
                } else {
                    try numbers.append(field, in: message)
                }
            case 13: isExternal = true
            case 14: if try message.integer(of: field) != 0 { isExternal = true }
            default: break
            }
        }
        guard !isExternal else {
            throw CheckpointError.unsupportedFormat(
                file: file, found: "an ONNX model that keeps the elements of tensor \(name) in another file",
                advice: "save it whole: onnx.save(onnx.load(path), path_of_one_file, save_as_external_data=False)")
        }
        guard let elementType = Self.elementTypes[type] else {
            throw CheckpointError.unsupportedElementType(file: file, tensor: name, type: "number \(type) of ONNX")
        }
        let byteCount = try TensorShape.byteCount(shape, elementType, file: file, tensor: name)
        if places.count == 1, numbers.isEmpty {
            contents = .mapped(offset: places[0].lowerBound)
            try Self.check(places[0].count, byteCount, file: file, tensor: name)
        } else {
            guard places.isEmpty else {
                throw CheckpointError.damaged(
                    file: file, part: message.part, offset: places[0].lowerBound,
                    expected: "the elements of \(name) in one piece", got: "several")
            }
            let bytes = numbers.bytes(of: elementType)
            contents = .decoded(bytes)
            try Self.check(bytes.count, byteCount, file: file, tensor: name)
        }
        self.name = name
        self.shape = shape
        self.elementType = elementType
    }

    private static func check(_ got: Int, _ expected: Int, file: String, tensor: String) throws {
        guard got == expected else {
            throw CheckpointError.tensorByteCount(file: file, tensor: tensor, expected: expected, got: got)
        }
    }
}

/// Elements that were written as numbers in the fields of a `TensorProto`.
private struct Numbers {
    private var float32: [UInt32] = []
    private var float64: [UInt64] = []
    /// `int32_data`, which also holds the smaller types and the bits of half precision, and `int64_data`.
    private var int32: [Int32] = []
    private var int64: [Int] = []

    var isEmpty: Bool { float32.isEmpty && float64.isEmpty && int32.isEmpty && int64.isEmpty }

    mutating func append(_ field: FileMessage.Field, in message: FileMessage) throws {
        switch (field.number, field.value) {
        case (4, .fixed32(let bits)): float32.append(bits)
        case (10, .fixed64(let bits)): float64.append(bits)
        case (5, _): try message.forEachInteger(of: field) { int32.append(Int32(truncatingIfNeeded: $0)) }
        case (7, _): try message.forEachInteger(of: field) { int64.append($0) }
        default:
            throw message.damaged(field, expected: "numbers", got: "another wire type")
        }
    }

    /// The elements' bytes; none if the numbers stand in the field of another type.
    func bytes(of type: ElementType) -> [UInt8] {
        func bytes<Value: FixedWidthInteger>(_ values: [Value], _ size: Int) -> [UInt8] {
            var bytes: [UInt8] = []
            bytes.reserveCapacity(values.count * size)
            for value in values {
                for byte in 0..<size { bytes.append(UInt8(truncatingIfNeeded: value >> Value(8 * byte))) }
            }
            return bytes
        }
        switch type {
        case .float32: return bytes(float32, 4)
        case .float64: return bytes(float64, 8)
        case .int64: return bytes(int64, 8)
        default: return bytes(int32, type.byteCount)
        }
    }
}
