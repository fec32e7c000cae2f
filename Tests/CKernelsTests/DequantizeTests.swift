import CKernels
import Tensors
import TestSupport
import Testing

@Suite("Dequantising blocks")
struct DequantizeTests {
    /// The types as the kernels name them.
    static let codes: [ElementType: vlm_element] = [
        .q8_0: VLM_Q8_0, .q4_0: VLM_Q4_0, .q4_1: VLM_Q4_1, .q5_0: VLM_Q5_0, .q5_1: VLM_Q5_1, .q4_K: VLM_Q4_K,
        .q5_K: VLM_Q5_K, .q6_K: VLM_Q6_K,
    ]

    @Test(
        "every version gives the bits of the definition, and reads and writes no more than its blocks",
        arguments: KernelSet.available, ElementType.blockQuantized)
    func definition(set: KernelSet, type: ElementType) throws {
        var random = SeededGenerator(seed: 31)
        let code = try #require(Self.codes[type])
        for count in [1, 2, 3, 7, 200] {
            let bytes = random.blocks(type, count: count)
            let x = Fenced(bytes), y = Fenced([Float](repeating: untouched, count: count * type.blockCount))
            set.functions.widen(code, Int64(y.count), x.raw, y.pointer)
            let expected = dequantizedReference(bytes, type)
            #expect(y.values.map(\.bitPattern) == expected.map(\.bitPattern) && y.isIntact, "\(count) blocks")
        }
    }

    @Test("all versions agree on every scale, subnormal ones and infinities too", arguments: ElementType.blockQuantized)
    func scales(type: ElementType) throws {
        var random = SeededGenerator(seed: 32)
        let code = try #require(Self.codes[type])
        let at = type == .q6_K ? 208 : 0
        var bytes = random.blocks(type, count: 2048)
        for block in 0..<2048 {  // every 32nd bit pattern
            bytes[block * type.blockByteCount + at] = UInt8(truncatingIfNeeded: block << 5)
            bytes[block * type.blockByteCount + at + 1] = UInt8(block >> 3)
        }
        let expected = dequantizedReference(bytes, type)
        for set in KernelSet.available {
            let x = Fenced(bytes), y = Fenced([Float](repeating: untouched, count: expected.count))
            set.functions.widen(code, Int64(y.count), x.raw, y.pointer)
            let isSame = zip(y.values, expected).allSatisfy { $0.isNaN ? $1.isNaN : $0.bitPattern == $1.bitPattern }
            #expect(isSame, "\(set)")
        }
    }
}
