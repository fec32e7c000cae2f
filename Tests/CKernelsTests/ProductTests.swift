import CKernels
import TestSupport
import Testing

@Suite("Matrix product")
struct ProductTests {
    /// A product and the data it reads; `w` is in the layout and type asked for.
    struct Case {
        let rows: Int, columns: Int, depth: Int, layout: vlm_layout, element: Element, activation: Activation
        let a: [Float], w: [Float], bias: [Float]?
        let lda: Int, ldw: Int, ldc: Int

        init(
            rows: Int, columns: Int, depth: Int, layout: vlm_layout, element: Element,
            activation: Activation = .identity,
            hasBias: Bool = false, random: inout SeededGenerator, values: (Int, inout SeededGenerator) -> [Float]
        ) {
            (self.rows, self.columns, self.depth) = (rows, columns, depth)
            (self.layout, self.element, self.activation) = (layout, element, activation)
            let padding = Int.random(in: 0...3, using: &random)
            lda = depth + padding
            ldw = (layout == VLM_OUT_IN ? depth : columns) + padding
            ldc = columns + padding
            let lines = layout == VLM_OUT_IN ? columns : depth, run = layout == VLM_OUT_IN ? depth : columns
            a = values((rows - 1) * lda + depth, &random)
            w = values((lines - 1) * ldw + run, &random).map { $0 != 0 && $0.magnitude < 0x1p-13 ? 1 : $0 }
            bias = hasBias ? values(columns, &random) : nil
        }

        /// Runs the product in tasks of `task` columns, or the driver's own.
        func run(_ set: KernelSet, task: Int? = nil) -> Fenced<Float> {
            let a = Fenced(a), w = Fenced(element.stored(w)), b = Fenced(bias ?? [])
            let c = Fenced([Float](repeating: untouched, count: (rows - 1) * ldc + columns))
            let scratch = Fenced([Float](repeating: .nan, count: vlm_product_scratch(set.table)))
            var product = vlm_product(
                rows: Int64(rows), columns: Int64(columns), depth: Int64(depth), a: a.pointer, lda: Int64(lda),
                w: w.raw, w_type: element.code, w_layout: layout, ldw: Int64(ldw), c: c.pointer, ldc: Int64(ldc),
                epilogue: epilogue(bias: bias == nil ? nil : UnsafePointer(b.pointer), activation.code),
                row_invariant: 0, accumulate: 0)
            let step = task ?? Int(vlm_product_task_columns(set.table))
            for first in stride(from: 0, to: columns, by: step) {
                vlm_product_columns(
                    set.table, &product, Int64(first), Int64(min(first + step, columns)), scratch.pointer)
            }
            return c
        }

        /// The exact element, the sum of magnitudes of its terms, and the element after activation.
        func exact(_ r: Int, _ j: Int, values: [Float]) -> (sum: Double, magnitude: Double) {
            var sum = Double(bias?[j] ?? 0), magnitude = sum.magnitude
            for k in 0..<depth {
                let weight = layout == VLM_OUT_IN ? values[j * ldw + k] : values[k * ldw + j]
                let term = Double(a[r * lda + k]) * Double(weight)
                sum += term
                magnitude += term.magnitude
            }
            return (sum, magnitude)
        }

        func check(_ c: Fenced<Float>, exactly: Bool) {
            let values = element.rounded(w), result = c.values
            for i in result.indices where i % ldc >= columns { #expect(result[i] == untouched) }
            for r in 0..<rows {
                for j in 0..<columns {
                    let (sum, magnitude) = exact(r, j, values: values), value = Double(result[r * ldc + j])
                    // No activation here is steeper than 1.13, so the sum's rounding goes through it almost unchanged.
                    let bound =
                        exactly
                        ? 0
                        : 1.13 * summationBound(terms: depth + 1, magnitude: magnitude)
                            + (activation == .identity ? 0 : activation.bound(sum))
                    if (value - activation.exact(sum)).magnitude > bound || value.isNaN {
                        Issue.record("\(rows) x \(columns) x \(depth) at (\(r), \(j)): \(value), not \(sum)")
                        return
                    }
                }
            }
            #expect(c.isIntact)
        }
    }

    static let layouts = [VLM_OUT_IN, VLM_IN_OUT]

    @Test("a product of small integers is exact for any rows, columns and depth", arguments: KernelSet.available)
    func integers(set: KernelSet) {
        var random = SeededGenerator(seed: 20)
        for rows in 1...25 {
            for columns in 1...65 {
                let depth = Int.random(in: 1...130, using: &random)
                let t = Case(
                    rows: rows, columns: columns, depth: depth, layout: Self.layouts.randomElement(using: &random)!,
                    element: Element.allCases.randomElement(using: &random)!,
                    hasBias: Bool.random(using: &random), random: &random
                ) { $1.integers($0) }
                t.check(t.run(set), exactly: true)
            }
        }
    }

    @Test("depths around the blocks of the driver are exact too", arguments: KernelSet.available, Element.allCases)
    func depths(set: KernelSet, element: Element) {
        var random = SeededGenerator(seed: 21)
        for layout in Self.layouts {
            for rows in [1, 7, 13, 70] {
                for depth in [255, 256, 257, 512, 1023, 1024, 1025, 2100] {
                    let t = Case(
                        rows: rows, columns: 2 * set.tileColumns + 3, depth: depth, layout: layout, element: element,
                        hasBias: true, random: &random
                    ) { $1.integers($0) }
                    t.check(t.run(set), exactly: true)
                }
            }
        }
    }

    @Test(
        "bias and activation follow the whole sum", arguments: KernelSet.available, Activation.allCases)
    func activations(set: KernelSet, activation: Activation) {
        var random = SeededGenerator(seed: 22)
        for element in Element.allCases {
            for layout in Self.layouts {
                for (rows, columns, depth) in [(1, 33, 300), (5, 16, 40), (9, 70, 129), (70, 45, 300), (13, 1, 1)] {
                    let t = Case(
                        rows: rows, columns: columns, depth: depth, layout: layout, element: element,
                        activation: activation, hasBias: true, random: &random
                    ) { $1.floats($0) }
                    t.check(t.run(set), exactly: false)
                }
            }
        }
    }

    @Test("a product does not depend on how its columns were split into tasks", arguments: KernelSet.available)
    func splits(set: KernelSet) {
        var random = SeededGenerator(seed: 23)
        for rows in [1, 4, 12, 31, 100] {
            for layout in Self.layouts {
                let t = Case(
                    rows: rows, columns: 5 * set.tileColumns + 7, depth: 1100, layout: layout, element: .float32,
                    random: &random
                ) { $1.floats($0) }
                let whole = t.run(set, task: 1 << 20).values
                #expect(whole == t.run(set).values)
                #expect(whole == t.run(set, task: set.tileColumns).values)
            }
        }
    }

    @Test("a product of depth 0 is the activated bias", arguments: KernelSet.available)
    func noDepth(set: KernelSet) {
        var random = SeededGenerator(seed: 24)
        for rows in [1, 20] {
            let t = Case(
                rows: rows, columns: 5, depth: 0, layout: VLM_OUT_IN, element: .float32, activation: .silu,
                hasBias: true,
                random: &random
            ) { $1.floats(max($0, 0)) }
            t.check(t.run(set), exactly: false)
        }
    }
}
