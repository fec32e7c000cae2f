import CKernels
import TestSupport
import Testing

@Suite("Packing of weights")
struct PackingTests {
    static let depths = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 64, 100]

    @Test(
        "a panel holds the widened weights with zeros beyond the last column",
        arguments: KernelSet.available, Element.allCases)
    func panel(set: KernelSet, element: Element) {
        var random = SeededGenerator(seed: 3)
        let width = set.tileColumns
        for layout in [VLM_OUT_IN, VLM_IN_OUT] {
            for columns in 1...width {
                for depth in Self.depths {
                    let run = layout == VLM_OUT_IN ? depth : columns, lines = layout == VLM_OUT_IN ? columns : depth
                    let ldw = run + Int.random(in: 0...5, using: &random)
                    let weights = random.floats((lines - 1) * ldw + run).map { $0.magnitude < 0x1p-13 ? 1 : $0 }
                    let w = Fenced(element.stored(weights)), values = element.rounded(weights)
                    let panel = Fenced([Float](repeating: untouched, count: depth * width))
                    let pack = layout == VLM_OUT_IN ? set.functions.pack_out_in! : set.functions.pack_in_out!
                    pack(element.code, Int64(columns), Int64(depth), w.raw, Int64(ldw), panel.pointer)

                    let expected = (0..<depth * width).map { i -> Float in
                        let k = i / width, j = i % width
                        if j >= columns { return 0 }
                        return layout == VLM_OUT_IN ? values[j * ldw + k] : values[k * ldw + j]
                    }
                    #expect(panel.values == expected && panel.isIntact, "\(columns) columns, depth \(depth)")
                }
            }
        }
    }

    @Test("every bfloat16 and float16 value widens exactly", arguments: KernelSet.available)
    func widening(set: KernelSet) {
        // An odd count, so that the last values go through the tail.
        let bits = (0...UInt16.max).map { $0 } + [0x3c00, 0x0001, 0x8001]
        let stored = Fenced(bits)
        let y = Fenced([Float](repeating: untouched, count: bits.count))
        set.functions.widen(VLM_BF16, Int64(bits.count), stored.raw, y.pointer)
        for (value, half) in zip(y.values, bits) {
            let expected = Float(bitPattern: UInt32(half) << 16)
            #expect(value.isNaN ? expected.isNaN : value.bitPattern == expected.bitPattern)
        }
        set.functions.widen(VLM_F16, Int64(bits.count), stored.raw, y.pointer)
        for (value, half) in zip(y.values, bits) {
            let expected = halfValue(half)
            #expect(value.isNaN ? expected.isNaN : value.bitPattern == expected.bitPattern)
        }
    }

    @Test("widening writes n values and no more", arguments: KernelSet.available, Element.allCases)
    func wideningTails(set: KernelSet, element: Element) {
        for n in 1...40 {
            let values = (0..<n).map { Float($0 + 1) }
            let x = Fenced(element.stored(values)), y = Fenced([Float](repeating: untouched, count: n))
            set.functions.widen(element.code, Int64(n), x.raw, y.pointer)
            #expect(y.values == values && y.isIntact)
        }
    }
}
