/// The type of a tensor's elements as they are stored.
public enum ElementType: String, Sendable, CaseIterable, Hashable {
    case float64 = "F64"
    case float32 = "F32"
    case float16 = "F16"
    case bfloat16 = "BF16"
    case int64 = "I64"
    case int32 = "I32"
    case int16 = "I16"
    case int8 = "I8"
    case uint8 = "U8"
    case bool = "BOOL"

    // Blocks of quantised elements in the layouts of ggml (CKernels/dequantize.c), named as it names them.
    case q8_0 = "Q8_0"
    case q4_0 = "Q4_0"
    case q4_1 = "Q4_1"
    case q5_0 = "Q5_0"
    case q5_1 = "Q5_1"
    case q4_K = "Q4_K"
    case q5_K = "Q5_K"
    case q6_K = "Q6_K"

    /// Elements that are stored together and cannot be told apart by address; 1 in plain types. Rows of a tensor are
    /// whole blocks.
    public var blockCount: Int {
        switch self {
        case .q8_0, .q4_0, .q4_1, .q5_0, .q5_1: 32
        case .q4_K, .q5_K, .q6_K: 256
        default: 1
        }
    }

    /// Bytes of a block; of an element in plain types.
    public var blockByteCount: Int {
        switch self {
        case .float64, .int64: 8
        case .float32, .int32: 4
        case .float16, .bfloat16, .int16: 2
        case .int8, .uint8, .bool: 1
        case .q8_0: 34
        case .q4_0: 18
        case .q4_1: 20
        case .q5_0: 22
        case .q5_1: 24
        case .q4_K: 144
        case .q5_K: 176
        case .q6_K: 210
        }
    }

    /// Whether elements are stored in blocks, so that one of them has no bytes of its own.
    public var isBlockQuantized: Bool { blockCount > 1 }

    /// Bytes of one element of a plain type.
    public var byteCount: Int {
        precondition(!isBlockQuantized, "an element of \(rawValue) has no bytes of its own")
        return blockByteCount
    }

    /// Bytes of `count` elements, which are whole blocks.
    public func byteCount(of count: Int) -> Int {
        precondition(count % blockCount == 0, "\(count) elements are not whole blocks of \(rawValue)")
        return count / blockCount * blockByteCount
    }

    /// Where the bytes must begin for elements to be read as their type; blocks are read byte by byte.
    var alignment: Int { isBlockQuantized ? 1 : blockByteCount }

    /// Whether the elements are real numbers, so that a tensor of them can be a weight.
    public var isFloatingPoint: Bool {
        switch self {
        case .float64, .float32, .float16, .bfloat16: true
        default: isBlockQuantized
        }
    }

    /// Whether a tensor of this shape consists of whole blocks.
    public func fits(_ shape: [Int]) -> Bool { (shape.last ?? 1) % blockCount == 0 }
}
