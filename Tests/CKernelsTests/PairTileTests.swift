import CKernels
import Foundation
import TestSupport
import Testing

/// Products of 16-bit integers in pairs, in the sets that have them.
@Suite("Register tile of pairs")
struct PairTileTests {
    private static let sets = KernelSet.available.filter { $0.functions.pair_tile != nil }

    /// Values as integers up to a limit, by definition: their scale, and the integers of them or, given `scales`, of
    /// their products with these.
    private func rounded(_ x: [Float], scales: [Float]? = nil, limit: Float) -> (scale: Float, codes: [Int]) {
        let scales = scales ?? x.map { _ in 1 }, largest = zip(x, scales).map { ($0 * $1).magnitude }.max() ?? 0
        if largest == 0 { return (0, x.map { _ in 0 }) }
        return (largest / limit, zip(x, scales).map { Int(($0 * ($1 * (limit / largest))).rounded(.toNearestOrEven)) })
    }

    /// The largest integers whose products cannot leave 32 bits.
    private func limit(depth: Int) -> Float { min(32767, (0x7FFFp16 / Float(depth)).squareRoot().rounded(.down)) }

    @Test(
        "a tile equals the plain product of the rounded factors, from weights in either layout",
        arguments: [false, true])
    func products(isOutIn: Bool) {
        var random = SeededGenerator(seed: 51)
        for set in Self.sets {
            for rows in 1...set.tileRows {
                for columns in [1, 2, 15, 16, 17, 31, 32] {
                    for depth in [1, 2, 3, 16, 31, 32, 33, 64, 65, 130] {
                        let padded = (depth + 1) / 2 * 2, accumulates = depth % 3 == 0, limit = limit(depth: depth)
                        // The first row and column are largest everywhere: their sum is what the limit must hold.
                        let a = [Float](repeating: -3, count: depth) + random.floats((rows - 1) * depth)
                        var w = [Float](repeating: 0.5, count: depth) + random.floats((columns - 1) * depth)
                        if columns > 2 {
                            w.replaceSubrange(depth..<2 * depth, with: [Float](repeating: 0, count: depth))
                        }
                        let ldw = (isOutIn ? depth : columns) + 3
                        let outer = isOutIn ? columns : depth, inner = isOutIn ? depth : columns
                        var stored = [Float](repeating: untouched, count: (outer - 1) * ldw + inner)
                        for j in 0..<columns {
                            for k in 0..<depth { stored[isOutIn ? j * ldw + k : k * ldw + j] = w[j * depth + k] }
                        }
                        let weights = Fenced(stored)
                        let weightScales = Fenced([Float](repeating: .nan, count: outer))
                        let factors = Fenced([Float](repeating: .nan, count: outer))
                        for i in 0..<outer {
                            weightScales.pointer[i] = set.functions.pair_scale(
                                Int64(inner), weights.pointer + i * ldw, limit, factors.pointer + i)
                        }
                        let panel = Fenced([Int16](repeating: .min, count: padded * set.tileColumns))
                        let pack = isOutIn ? set.functions.pack_pairs_out_in : set.functions.pack_pairs_in_out
                        pack?(Int64(columns), Int64(depth), weights.pointer, Int64(ldw), factors.pointer, panel.pointer)

                        // What has a scale for each step of the depth has it from the other factor.
                        let steps = isOutIn ? nil : UnsafePointer(weightScales.pointer)
                        let values = Fenced(a), pairs = Fenced([Int16](repeating: .min, count: rows * padded))
                        let rowScales = (0..<rows).map { r in
                            let row = values.pointer + r * depth,
                                scaled = Fenced((0..<depth).map { row[$0] * (steps?[$0] ?? 1) })
                            var factor: Float = 0
                            let scale = set.functions.pair_scale(Int64(depth), scaled.pointer, limit, &factor)
                            set.functions.round_pairs(Int64(depth), row, steps, factor, pairs.pointer + r * padded)
                            return scale
                        }
                        let ldc = columns + 2
                        var expected = random.floats((rows - 1) * ldc + columns)
                        for i in expected.indices where i % ldc >= columns { expected[i] = untouched }
                        let c = Fenced(expected)
                        let pointers: [UnsafePointer<Int16>?] = (0..<rows).map {
                            UnsafePointer(pairs.pointer + $0 * padded)
                        }
                        set.functions.pair_tile(
                            Int64(rows), Int64(columns), Int64(depth), pointers, rowScales, panel.pointer,
                            isOutIn ? weightScales.pointer : nil, c.pointer, Int64(ldc), accumulates ? 1 : 0)
                        let plain = (0..<outer).map { i in
                            rounded(Array(stored[i * ldw..<i * ldw + inner]), limit: limit)
                        }
                        for r in 0..<rows {
                            let own = Array(a[r * depth..<(r + 1) * depth])
                            let (scale, codes) = rounded(own, scales: isOutIn ? nil : plain.map(\.scale), limit: limit)
                            for j in 0..<columns {
                                let sum = (0..<depth).reduce(0) {
                                    $0 + codes[$1] * (isOutIn ? plain[j].codes[$1] : plain[$1].codes[j])
                                }
                                let value = Float(sum) * (isOutIn ? plain[j].scale : 1), old = expected[r * ldc + j]
                                expected[r * ldc + j] = accumulates ? old.addingProduct(value, scale) : value * scale
                            }
                        }
                        #expect(c.values == expected, "\(rows) x \(columns) x \(depth)")
                        #expect(c.isIntact && panel.isIntact && pairs.isIntact)
                    }
                }
            }
        }
    }

    @Test("values times a factor are rounded to the nearest integer, halves to even")
    func rounding() {
        var random = SeededGenerator(seed: 52)
        let halves: [Float] = [0.125, -0.125, 0.375, 0.25, 0, -0.0, 8191.75]
        for set in Self.sets {
            for n in 1...40 {
                let x = Array((halves + random.floats(40)).shuffled(using: &random).prefix(n))
                let source = Fenced(x), target = Fenced([Int16](repeating: 7, count: (n + 1) / 2 * 2))
                set.functions.round_pairs(Int64(n), source.pointer, nil, 4, target.pointer)
                let nearest = x.map { Int16((4 * $0).rounded(.toNearestOrEven)) }
                #expect(target.values == nearest + (n % 2 == 1 ? [0] : []))
                #expect(target.isIntact)
            }
        }
    }

    @Test("what is not finite stays so in the scale, and what is too small for one counts as 0")
    func extremes() {
        for set in Self.sets {
            for value in [Float.infinity, .nan, 0x1p-120] {
                let source = Fenced([0, value, -0x1p-130, -value, 0]), row = Fenced([Int16](repeating: 7, count: 6))
                let factors = Fenced([Float](repeating: 7, count: 1))
                let scale = set.functions.pair_scale(5, source.pointer, 4095, factors.pointer)
                #expect(value.magnitude < 1 ? scale == 0 : !scale.isFinite)
                let panel = Fenced([Int16](repeating: 7, count: 6 * set.tileColumns))
                set.functions.round_pairs(5, source.pointer, nil, factors.values[0], row.pointer)
                set.functions.pack_pairs_out_in(1, 5, source.pointer, 5, factors.pointer, panel.pointer)
                #expect((row.values + panel.values).allSatisfy { $0 == 0 })
                set.functions.pack_pairs_in_out(5, 1, source.pointer, 5, factors.pointer, panel.pointer)
                #expect(panel.values.prefix(10).allSatisfy { $0 == 0 })
            }
        }
    }
}
