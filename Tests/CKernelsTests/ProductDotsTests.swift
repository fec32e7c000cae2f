import CKernels
import TestSupport
import Testing

@Suite("Products of few rows")
struct ProductDotsTests {
    struct Shape { let rows: Int, columns: Int, depth: Int, lda: Int, ldw: Int, ldc: Int }

    static func dots(
        _ set: KernelSet, _ element: Element, _ shape: Shape, a: [Float], w: [Float], start: [Float]
    ) -> Fenced<Float> {
        let a = Fenced(a), w = Fenced(element.stored(w)), c = Fenced(start)
        set.functions.product_dots(
            element.code, Int64(shape.rows), Int64(shape.columns), Int64(shape.depth), a.pointer, Int64(shape.lda),
            w.raw, Int64(shape.ldw), c.pointer, Int64(shape.ldc))
        return c
    }

    @Test("dots of small integers are exact", arguments: KernelSet.available, Element.allCases)
    func integers(set: KernelSet, element: Element) {
        var random = SeededGenerator(seed: 4)
        for rows in 1...9 {
            for columns in [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 17] {
                for depth in [1, 2, 7, 8, 9, 15, 16, 17, 40, 130] {
                    let s = Shape(
                        rows: rows, columns: columns, depth: depth, lda: depth + 2, ldw: depth + 1, ldc: columns + 3)
                    let a = random.integers((rows - 1) * s.lda + depth)
                    let w = random.integers((columns - 1) * s.ldw + depth)
                    var expected = [Float](repeating: untouched, count: (rows - 1) * s.ldc + columns)
                    let c = Self.dots(set, element, s, a: a, w: w, start: expected)
                    for r in 0..<rows {
                        for j in 0..<columns {
                            expected[r * s.ldc + j] = (0..<depth).reduce(0) {
                                $0 + a[r * s.lda + $1] * w[j * s.ldw + $1]
                            }
                        }
                    }
                    #expect(c.values == expected && c.isIntact, "\(rows) x \(columns) x \(depth)")
                }
            }
        }
    }

    @Test(
        "a dot is within the rounding of its terms, and does not depend on the rows and columns beside it",
        arguments: KernelSet.available, Element.allCases)
    func independence(set: KernelSet, element: Element) {
        var random = SeededGenerator(seed: 5)
        let (rows, columns) = (9, 19)
        for depth in [5, 64, 333, 1024] {
            let whole = Shape(rows: rows, columns: columns, depth: depth, lda: depth, ldw: depth, ldc: columns)
            let a = random.floats(rows * depth)
            let w = random.floats(columns * depth).map { $0.magnitude < 0x1p-13 ? 1 : $0 }
            let values = element.rounded(w)
            let c = Self.dots(set, element, whole, a: a, w: w, start: [Float](repeating: 0, count: rows * columns))
                .values
            for r in 0..<rows {
                for j in 0..<columns {
                    let terms = (0..<depth).map { Double(a[r * depth + $0]) * Double(values[j * depth + $0]) }
                    let bound = summationBound(terms: depth, magnitude: terms.reduce(0) { $0 + $1.magnitude })
                    #expect((Double(c[r * columns + j]) - terms.reduce(0, +)).magnitude <= bound)

                    let one = Shape(rows: 1, columns: 1, depth: depth, lda: depth, ldw: depth, ldc: 1)
                    let alone = Self.dots(
                        set, element, one, a: Array(a[r * depth..<(r + 1) * depth]),
                        w: Array(w[j * depth..<(j + 1) * depth]), start: [0])
                    #expect(alone.values[0] == c[r * columns + j])
                }
            }
        }
    }

    @Test("a weighted sum adds rows in order to what is there", arguments: KernelSet.available)
    func weightedSum(set: KernelSet) {
        var random = SeededGenerator(seed: 6)
        for width in [1, 7, 8, 9, 16, 17, 31, 64, 72, 80, 100, 128, 129, 150, 256] {
            for count in [0, 1, 5, 33] {
                let ldv = width + 3
                let weights = random.floats(count), values = random.floats(max(0, (count - 1) * ldv + width))
                let start = random.floats(width)
                let out = Fenced(start), w = Fenced(weights), v = Fenced(values)
                set.functions.weighted_sum(
                    Int64(count), Int64(width), w.pointer, v.pointer, Int64(ldv), out.pointer)
                let expected = (0..<width).map { j in
                    (0..<count).reduce(start[j]) { sum, i in
                        set.isFused
                            ? sum.addingProduct(weights[i], values[i * ldv + j])
                            : sum + weights[i] * values[i * ldv + j]
                    }
                }
                for (value, chain) in zip(out.values, expected) {
                    // Bit-equal on x86; elsewhere a compiler may fuse the portable form: one rounding per term.
                    #expect((value - chain).magnitude <= (set.isFused ? 0 : Float(count) * 0x1p-23))
                }
                #expect(out.isIntact)
            }
        }
    }
}
