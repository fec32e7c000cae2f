import CKernels
import TestSupport
import Testing

@Suite("Register tile of the product")
struct ProductTileTests {
    static let depths = [1, 2, 3, 8, 17, 64, 130]

    /// A tile whose rows overlap in memory: row r starts `step` values after row r - 1.
    struct Case {
        let rows: Int, columns: Int, depth: Int, step: Int, tileColumns: Int
        let a: [Float], panel: [Float]

        init(set: KernelSet, rows: Int, columns: Int, depth: Int, values: (Int) -> [Float]) {
            (self.rows, self.columns, self.depth, tileColumns) = (rows, columns, depth, set.tileColumns)
            step = (depth + 1) / 2
            a = values((rows - 1) * step + depth)
            panel = values(depth * tileColumns)
        }

        func run(_ set: KernelSet, start: [Float], ldc: Int, accumulate: Bool) -> Fenced<Float> {
            let a = Fenced(a), panel = Fenced(panel), c = Fenced(start)
            let pointers: [UnsafePointer<Float>?] = (0..<rows).map { UnsafePointer(a.pointer + $0 * step) }
            set.functions.product_tile(
                Int64(rows), Int64(columns), Int64(depth), pointers, panel.pointer, c.pointer, Int64(ldc),
                accumulate ? 1 : 0)
            return c
        }
    }

    @Test("a tile of small integers is exact for every number of rows and columns", arguments: KernelSet.available)
    func integers(set: KernelSet) {
        var random = SeededGenerator(seed: 1)
        for rows in 1...set.tileRows {
            for columns in 1...set.tileColumns {
                for depth in Self.depths {
                    let t = Case(set: set, rows: rows, columns: columns, depth: depth) { random.integers($0) }
                    let ldc = columns + 3, accumulate = depth % 2 == 0
                    var expected = random.integers((rows - 1) * ldc + columns)
                    for i in expected.indices where i % ldc >= columns { expected[i] = untouched }
                    let c = t.run(set, start: expected, ldc: ldc, accumulate: accumulate)
                    for r in 0..<rows {
                        for j in 0..<columns {
                            var sum = accumulate ? expected[r * ldc + j] : 0
                            for k in 0..<depth { sum += t.a[r * t.step + k] * t.panel[k * t.tileColumns + j] }
                            expected[r * ldc + j] = sum
                        }
                    }
                    #expect(c.values == expected && c.isIntact, "\(rows) x \(columns) x \(depth)")
                }
            }
        }
    }

    @Test("a window in several runs has the sums of its runs one after the other", arguments: KernelSet.available)
    func windows(set: KernelSet) {
        var random = SeededGenerator(seed: 3)
        for rows in 1...set.tileRows {
            for columns in [1, set.tileColumns / 2, set.tileColumns / 2 + 1, set.tileColumns] {
                let runs = Int.random(in: 1...5, using: &random), depth = Int.random(in: 1...40, using: &random)
                let (step, pixel) = (depth + Int.random(in: 0...9, using: &random), 2)
                let a = Fenced(random.floats((rows - 1) * pixel + (runs - 1) * step + depth))
                let panel = Fenced(random.floats(runs * depth * set.tileColumns))
                func pointers(_ run: Int) -> [UnsafePointer<Float>?] {
                    (0..<rows).map { UnsafePointer(a.pointer + $0 * pixel + run * step) }
                }
                let ldc = columns + 1, start = [Float](repeating: untouched, count: (rows - 1) * ldc + columns)
                let whole = Fenced(start), parts = Fenced(start)
                set.functions.window_tile(
                    Int64(rows), Int64(columns), Int64(runs), Int64(depth), pointers(0), Int64(step), panel.pointer,
                    whole.pointer, Int64(ldc))
                for run in 0..<runs {
                    set.functions.product_tile(
                        Int64(rows), Int64(columns), Int64(depth), pointers(run),
                        panel.pointer + run * depth * set.tileColumns, parts.pointer, Int64(ldc), run > 0 ? 1 : 0)
                }
                #expect(whole.values == parts.values && whole.isIntact, "\(rows) x \(columns), \(runs) runs")
            }
        }
    }

    @Test(
        "an element is one chain of multiply-adds in ascending k, continued by accumulation",
        arguments: KernelSet.available)
    func chain(set: KernelSet) {
        var random = SeededGenerator(seed: 2)
        for rows in 1...set.tileRows {
            for columns in [1, set.tileColumns / 2, set.tileColumns / 2 + 1, set.tileColumns] {
                for accumulate in [false, true] {
                    let depth = Int.random(in: 1...130, using: &random)
                    let t = Case(set: set, rows: rows, columns: columns, depth: depth) { random.floats($0) }
                    let start = random.floats(rows * columns)
                    let c = t.run(set, start: start, ldc: columns, accumulate: accumulate).values
                    for r in 0..<rows {
                        for j in 0..<columns {
                            var chain = accumulate ? start[r * columns + j] : 0
                            var exact = Double(chain), magnitude = exact.magnitude
                            for k in 0..<depth {
                                let x = t.a[r * t.step + k], b = t.panel[k * t.tileColumns + j]
                                chain = chain.addingProduct(x, b)
                                exact += Double(x) * Double(b)
                                magnitude += (Double(x) * Double(b)).magnitude
                            }
                            let value = c[r * columns + j]
                            if set.isFused { #expect(value == chain) }
                            let error = (Double(value) - exact).magnitude
                            #expect(error <= summationBound(terms: depth + 1, magnitude: magnitude))
                        }
                    }
                }
            }
        }
    }

    @Test("a tile of depth 0 is zero, or unchanged when accumulating", arguments: KernelSet.available)
    func noDepth(set: KernelSet) {
        let t = Case(set: set, rows: 2, columns: 3, depth: 0) { [Float](repeating: 1, count: $0) }
        let start: [Float] = [1, 2, 3, 4, 5, 6]
        #expect(t.run(set, start: start, ldc: 3, accumulate: false).values == [0, 0, 0, 0, 0, 0])
        #expect(t.run(set, start: start, ldc: 3, accumulate: true).values == start)
    }
}
