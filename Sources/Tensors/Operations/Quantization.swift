// Conversion of weights to the types that GGUF files are written in.

extension Tensor {
    /// The elements in another type: float32, float16, Q8_0 or Q4_0; the tensor itself if it is of that type already.
    ///
    /// Blocks are those of ggml's reference quantisers (`quantize_row_q8_0_ref` and `quantize_row_q4_0_ref` in
    /// ggml-quants.c), each operation rounded to float32. A build of llama.cpp whose compiler fuses multiplications with
    /// additions can differ from them by one code where a value lies half-way between two.
    /// - Throws: `QuantizationError` for another type, for rows that are not whole blocks, and for an element that is not
    ///   finite or too large for float16 or for the float16 scale of its block.
    /// - Complexity: O(count).
    public func converted(to type: ElementType) throws -> Tensor {
        if elementType == type { return self }
        guard [.float32, .float16, .q8_0, .q4_0].contains(type) else { throw QuantizationError.unsupported(type) }
        guard type.fits(shape) else { throw QuantizationError.partialBlocks(type, shape: shape) }
        let values = floats
        var bytes: [UInt8] = []
        switch type {
        case .float32:
            return Tensor(values, shape: shape)
        case .float16:
            bytes.reserveCapacity(values.count * 2)
            for (index, value) in values.enumerated() { try bytes.append(half: value, element: index) }
        default:
            bytes.reserveCapacity(type.byteCount(of: values.count))
            for start in stride(from: 0, to: values.count, by: 32) {
                let block = values[start..<start + 32]
                if let index = block.firstIndex(where: { !$0.isFinite }) {
                    throw QuantizationError.outOfRange(element: index, value: block[index])
                }
                try type == .q8_0 ? bytes.append(q8_0: block) : bytes.append(q4_0: block)
            }
        }
        return Tensor(copying: bytes, shape: shape, elementType: type)
    }
}

/// What keeps weights from being stored in another type.
public enum QuantizationError: Error, Equatable, CustomStringConvertible {
    /// Weights cannot be converted to this type.
    case unsupported(ElementType)
    /// A row has a number of elements that is not a multiple of the block.
    case partialBlocks(ElementType, shape: [Int])
    /// The element at an index in row-major order, or the scale of its block, cannot be stored.
    case outOfRange(element: Int, value: Float)

    /// One sentence for a person.
    public var description: String {
        switch self {
        case .unsupported(let type):
            "weights cannot be converted to \(type.rawValue); choose F32, F16, Q8_0 or Q4_0"
        case .partialBlocks(let type, let shape):
            "a tensor of shape \(shape) cannot be stored as \(type.rawValue), whose rows are multiples of \(type.blockCount)"
        case .outOfRange(let element, let value):
            "element \(element) is \(value), which cannot be stored in the type wanted; are these weights damaged?"
        }
    }
}

extension [UInt8] {
    fileprivate mutating func append(half value: Float, element: Int) throws {
        let bits = value.float16Bits
        guard bits & 0x7C00 != 0x7C00 else { throw QuantizationError.outOfRange(element: element, value: value) }
        append(UInt8(truncatingIfNeeded: bits))
        append(UInt8(bits >> 8))
    }

    /// The scale that makes the largest magnitude 127, then the elements in units of it, halves away from zero.
    fileprivate mutating func append(q8_0 block: ArraySlice<Float>) throws {
        let largest = block.reduce(0) { Swift.max($0, $1.magnitude) }
        let scale = largest / 127
        try append(half: scale, element: block.startIndex)
        let inverse = Self.inverse(of: scale)
        for value in block { append(UInt8(bitPattern: Int8((value * inverse).rounded(.toNearestOrAwayFromZero)))) }
    }

    /// The scale that makes the element of largest magnitude -8, then the elements in units of it plus 8, two a byte.
    fileprivate mutating func append(q4_0 block: ArraySlice<Float>) throws {
        // The first of several equal magnitudes decides the sign.
        let extreme = block.reduce(0) { $0.magnitude < $1.magnitude ? $1 : $0 }
        let scale = extreme / -8
        try append(half: scale, element: block.startIndex)
        let inverse = Self.inverse(of: scale)
        let codes = block.map { Swift.min(15, UInt8($0 * inverse + 8.5)) }
        for index in 0..<16 { append(codes[index] | codes[index + 16] << 4) }
    }

    /// 0 for 0, and for scales so small that the inverse overflows (where the reference is undefined): their float16 is 0.
    private static func inverse(of scale: Float) -> Float {
        let inverse = 1 / scale
        return inverse.isFinite ? inverse : 0
    }
}

extension Float {
    /// The bits of the nearest float16, halves to even; those of infinity from 65520 on.
    var float16Bits: UInt16 {
        let sign = UInt16(truncatingIfNeeded: bitPattern >> 16 & 0x8000)
        if isNaN { return sign | 0x7E00 }
        if magnitude >= 65520 { return sign | 0x7C00 }
        if magnitude < 0x1p-14 {  // in units of the least subnormal; 1024 of them are the least normal number
            return sign | UInt16((magnitude * 0x1p24).rounded(.toNearestOrEven))
        }
        // The exponent's bias changes from 127 to 15, and the last 13 of 23 bits are rounded away.
        let bits = magnitude.bitPattern - (112 << 23)
        return sign | UInt16(truncatingIfNeeded: (bits + 0xFFF + (bits >> 13 & 1)) >> 13)
    }
}
