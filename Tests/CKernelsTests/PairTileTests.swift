import CKernels
import Foundation
import TestSupport
import Testing

/// Products of bfloat16 in pairs, in the sets that have them.
@Suite("Register tile of pairs")
struct PairTileTests {
    private static let sets = KernelSet.available.filter { $0.functions.pair_tile != nil }

    /// The bfloat16 nearest to a value, halves to even.
    private func nearest(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        return UInt16(truncatingIfNeeded: (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
    }

    @Test("a tile of small integers is exact, from weights in either layout", arguments: [false, true])
    func integers(isOutIn: Bool) {
        var random = SeededGenerator(seed: 51)
        for set in Self.sets {
            for rows in 1...set.tileRows {
                for columns in [1, 2, 15, 16, 17, 31, 32] {
                    for depth in [1, 2, 3, 16, 31, 32, 33, 64, 65, 130] {
                        let padded = (depth + 1) / 2 * 2, accumulates = depth % 3 == 0
                        let a = random.integers(rows * depth), w = random.integers(columns * depth)
                        let ldw = (isOutIn ? depth : columns) + 3
                        let outer = isOutIn ? columns : depth, inner = isOutIn ? depth : columns
                        var stored = [Float](repeating: untouched, count: (outer - 1) * ldw + inner)
                        for j in 0..<columns {
                            for k in 0..<depth { stored[isOutIn ? j * ldw + k : k * ldw + j] = w[j * depth + k] }
                        }
                        let weights = Fenced(stored)
                        let panel = Fenced([UInt16](repeating: 0x7FC0, count: padded * set.tileColumns))
                        let pack = isOutIn ? set.functions.pack_pairs_out_in : set.functions.pack_pairs_in_out
                        pack?(Int64(columns), Int64(depth), weights.pointer, Int64(ldw), panel.pointer)

                        let values = Fenced(a), pairs = Fenced([UInt16](repeating: 0x7FC0, count: rows * padded))
                        for r in 0..<rows {
                            set.functions.round_pairs(
                                Int64(depth), values.pointer + r * depth, pairs.pointer + r * padded)
                        }
                        let ldc = columns + 2
                        var expected = random.integers((rows - 1) * ldc + columns)
                        for i in expected.indices where i % ldc >= columns { expected[i] = untouched }
                        let c = Fenced(expected)
                        let pointers: [UnsafePointer<UInt16>?] = (0..<rows).map {
                            UnsafePointer(pairs.pointer + $0 * padded)
                        }
                        set.functions.pair_tile(
                            Int64(rows), Int64(columns), Int64(depth), pointers, panel.pointer, c.pointer, Int64(ldc),
                            accumulates ? 1 : 0)
                        for r in 0..<rows {
                            for j in 0..<columns {
                                let start = accumulates ? expected[r * ldc + j] : 0
                                expected[r * ldc + j] = (0..<depth).reduce(start) {
                                    $0 + a[r * depth + $1] * w[j * depth + $1]
                                }
                            }
                        }
                        #expect(c.values == expected, "\(rows) x \(columns) x \(depth)")
                        #expect(c.isIntact && panel.isIntact && pairs.isIntact)
                    }
                }
            }
        }
    }

    @Test("values are rounded to the nearest bfloat16, halves to even")
    func rounding() {
        var random = SeededGenerator(seed: 52)
        let halves: [Float] = [
            1 + 0x1p-8, 1 + 3 * 0x1p-8, -1 - 0x1p-8, 1 + 0x1p-8 + 0x1p-20, 0x1.fffffep127, .infinity, 0, -0.0,
        ]
        for set in Self.sets {
            for n in 1...40 {
                let x = Array((halves + random.floats(40)).shuffled(using: &random).prefix(n))
                let source = Fenced(x), target = Fenced([UInt16](repeating: 7, count: (n + 1) / 2 * 2))
                set.functions.round_pairs(Int64(n), source.pointer, target.pointer)
                #expect(target.values == x.map(nearest) + (n % 2 == 1 ? [0] : []))
                #expect(target.isIntact)
            }
        }
    }
}
