import CKernels
import TestSupport

/// The sets of micro-kernels, for tests that run on each one this processor has.
enum KernelSet: String, CaseIterable, Sendable {
    case portable, avx2, avx512

    static let available = allCases.filter { $0.pointer != nil }

    private var pointer: UnsafePointer<vlm_kernels>? {
        switch self {
        case .portable: vlm_kernels_portable()
        case .avx2: vlm_kernels_avx2()
        case .avx512: vlm_kernels_avx512()
        }
    }

    /// The table, as drivers take it.
    var table: UnsafePointer<vlm_kernels> { pointer! }
    /// The functions of the table.
    var functions: vlm_kernels { table.pointee }
    var tileRows: Int { Int(functions.tile_rows) }
    var tileColumns: Int { Int(functions.tile_columns) }
    /// Vectors of this set add products by fused multiply-add.
    var isFused: Bool { self != .portable }
}

/// What follows a product's sums, without a factor or a residual.
func epilogue(bias: UnsafePointer<Float>? = nil, _ activation: vlm_activation = VLM_IDENTITY) -> vlm_epilogue {
    vlm_epilogue(bias: bias, activation: activation, factor: nil, residual: nil, ldr: 0)
}

/// The stored element types.
enum Element: CaseIterable, Sendable {
    case float32, bfloat16, float16

    var code: vlm_element {
        switch self {
        case .float32: VLM_F32
        case .bfloat16: VLM_BF16
        case .float16: VLM_F16
        }
    }

    var bytes: Int { self == .float32 ? 4 : 2 }

    /// The little-endian bytes of the values in this type, rounded towards zero to bfloat16 and to nearest in float16.
    func stored(_ values: [Float]) -> [UInt8] {
        switch self {
        case .float32: values.flatMap { littleEndianBytes($0.bitPattern) }
        case .bfloat16: values.flatMap { littleEndianBytes(UInt16($0.bitPattern >> 16)) }
        case .float16: values.flatMap { littleEndianBytes(halfBits($0)) }
        }
    }

    /// The values as they come back from this type.
    func rounded(_ values: [Float]) -> [Float] {
        switch self {
        case .float32: values
        case .bfloat16: values.map { Float(bitPattern: $0.bitPattern & 0xffff_0000) }
        case .float16: values.map { halfValue(halfBits($0)) }
        }
    }
}

private func littleEndianBytes(_ bits: some FixedWidthInteger) -> [UInt8] {
    (0..<bits.bitWidth / 8).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }
}

/// The float16 value of some bits, by the definition of the format.
func halfValue(_ bits: UInt16) -> Float {
    let exponent = Int(bits >> 10 & 31), fraction = Float(bits & 1023)
    let magnitude =
        switch exponent {
        case 0: Float(sign: .plus, exponent: -24, significand: fraction)
        case 31: fraction == 0 ? Float.infinity : .nan
        default: Float(sign: .plus, exponent: exponent - 25, significand: 1024 + fraction)
        }
    return bits >> 15 == 1 ? -magnitude : magnitude
}

/// The nearest float16 of a value that is normal there, or zero.
func halfBits(_ value: Float) -> UInt16 {
    if value == 0 { return 0 }
    precondition(value.exponent >= -14 && value.exponent < 15, "outside the normal range of float16")
    let scaled = (value.magnitude.significand * 1024).rounded(.toNearestOrEven)  // 1024 ... 2048
    let bits = UInt16(value.exponent + 14) << 10 + UInt16(scaled)
    return value < 0 ? bits | 0x8000 : bits
}

extension SeededGenerator {
    /// `count` small integers, whose products and sums are exact in float32 in any order.
    mutating func integers(_ count: Int, within bound: Int = 4) -> [Float] {
        (0..<count).map { _ in Float(Int.random(in: -bound...bound, using: &self)) }
    }
}

/// The rounding of a sum of `terms` products in float32, in any order: with sum |a b| at most `magnitude`, each of the
/// `terms` additions and multiplications adds at most 2^-24 of it (Higham, Accuracy and Stability, section 3.1).
func summationBound(terms: Int, magnitude: Double) -> Double { Double(terms + 2) * 0x1p-24 * magnitude }
