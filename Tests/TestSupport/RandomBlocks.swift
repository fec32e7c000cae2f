public import Tensors

extension SeededGenerator {
    /// Blocks of a quantised type whose codes are any bytes and whose scales are finite float16 values of either sign.
    public mutating func blocks(_ type: ElementType, count: Int) -> [UInt8] {
        let scales: [Int] =
            switch type {
            case .q4_1, .q5_1, .q4_K, .q5_K: [0, 2]
            case .q6_K: [208]
            default: [0]
            }
        var bytes: [UInt8] = []
        for _ in 0..<count {
            var block = (0..<type.blockByteCount).map { _ in UInt8.random(in: 0...255, using: &self) }
            for at in scales {
                // Exponents below 15 keep values below 1, so that dequantised ones are of the order of weights.
                block[at + 1] = UInt8.random(in: 0..<15, using: &self) << 2 | block[at + 1] & 0x83
            }
            bytes += block
        }
        return bytes
    }

    /// A tensor of random blocks.
    public mutating func blockTensor(_ shape: [Int], _ type: ElementType) -> Tensor {
        Tensor(
            copying: blocks(type, count: shape.reduce(1, *) / type.blockCount), shape: shape, elementType: type)
    }
}

extension ElementType {
    /// The block-quantised types.
    public static let blockQuantized = allCases.filter(\.isBlockQuantized)
}

/// The elements of blocks by the definition of their layout, read bit by bit and computed in float32.
///
/// A block is seen as fields of bits, least significant first, independently of how the kernels take it apart.
public func dequantizedReference(_ bytes: [UInt8], _ type: ElementType) -> [Float] {
    stride(from: 0, to: bytes.count, by: type.blockByteCount).flatMap { start in
        BlockReference(bytes: Array(bytes[start..<start + type.blockByteCount]), type: type).elements
    }
}

private struct BlockReference {
    let bytes: [UInt8]
    let type: ElementType

    func bit(_ byte: Int, _ bit: Int) -> Int { Int(bytes[byte] >> UInt8(bit)) & 1 }
    func bits(_ byte: Int, _ range: Range<Int>) -> Int {
        range.reduce(0) { $0 | bit(byte, $1) << ($1 - range.lowerBound) }
    }
    func half(_ byte: Int) -> Float {
        Float(Float16(bitPattern: UInt16(bytes[byte]) | UInt16(bytes[byte + 1]) << 8))
    }
    func signed(_ byte: Int) -> Float { Float(Int8(bitPattern: bytes[byte])) }

    var elements: [Float] { (0..<type.blockCount).map(element) }

    private func element(_ i: Int) -> Float {
        // In blocks of 32, code i is in nibble i / 16 of byte i % 16.
        func nibble(_ start: Int) -> Int { bits(start + i % 16, i < 16 ? 0..<4 : 4..<8) }
        switch type {
        case .q8_0: return half(0) * signed(2 + i)
        case .q4_0: return half(0) * Float(nibble(2) - 8)
        case .q4_1: return half(0) * Float(nibble(4)) + half(2)
        case .q5_0: return half(0) * Float(nibble(6) + 16 * bit(2 + i / 8, i % 8) - 16)
        case .q5_1: return half(0) * Float(nibble(8) + 16 * bit(4 + i / 8, i % 8)) + half(2)
        case .q4_K, .q5_K:
            let group = i / 32
            // Scales are six-bit fields in bytes 4...7 and minima in 8...11; of groups 4 to 7 the low four bits are in
            // bytes 12...15, and the high two lie above those of the first four.
            let scale = group < 4 ? bits(4 + group, 0..<6) : bits(8 + group, 0..<4) | bits(group, 6..<8) << 4
            let minimum = group < 4 ? bits(8 + group, 0..<6) : bits(8 + group, 4..<8) | bits(4 + group, 6..<8) << 4
            let codes = type == .q4_K ? 16 : 48
            var code = bits(codes + i / 64 * 32 + i % 32, i % 64 < 32 ? 0..<4 : 4..<8)
            if type == .q5_K { code += 16 * bit(16 + i % 32, group) }
            let product = half(0) * Float(scale) * Float(code)
            return product - half(2) * Float(minimum)
        case .q6_K:
            let (side, j) = i.quotientAndRemainder(dividingBy: 128)
            let low = bits(side * 64 + j % 64, j < 64 ? 0..<4 : 4..<8)
            let quarter = j / 32
            let high = bits(128 + side * 32 + j % 32, 2 * quarter..<2 * quarter + 2)
            return half(208) * signed(192 + i / 16) * Float(low + 16 * high - 32)
        default: return .nan
        }
    }
}
