import CKernels
import Foundation
import TestSupport
import Testing

@Suite("Products of rows and weights of 8 bits with one scale each")
struct Int8ProductTests {
    struct Rows {
        let integers: Fenced<Int8>
        let scales: Fenced<vlm_row_block>
        /// The rows as they were rotated before they were rounded.
        var rotated: [Float] = []

        init(_ set: KernelSet, _ x: [Float], depth: Int, stride: Int) {
            let count = x.count / depth
            integers = Fenced([Int8](repeating: 0, count: (count - 1) * stride + depth))
            scales = Fenced([vlm_row_block](repeating: vlm_row_block(), count: count))
            for row in 0..<count {
                let values = Fenced(Array(x[row * depth..<(row + 1) * depth]))
                let scratch = Fenced([Float](repeating: untouched, count: depth))
                set.functions.int8_row(
                    Int64(depth), values.pointer, scratch.pointer, integers.pointer + row * stride, scales.pointer + row
                )
                rotated += scratch.values
                #expect(values.isIntact && scratch.isIntact)
            }
        }
    }

    /// What rotates a run of 128 values: column j is what becomes of a 1 in place j.
    static let rotation = (0..<128).map { place in
        Rows(.portable, (0..<128).map { $0 == place ? 1 : 0 }, depth: 128, stride: 128).rotated
    }

    /// The row that is rotated into `y`, of whole runs of 128.
    static func unrotated(_ y: [Float]) -> [Float] {
        y.indices.map { j in
            let (start, column) = (j / 128 * 128, rotation[j % 128])
            return (0..<128).reduce(0) { $0 + column[$1] * y[start + $1] } / 128
        }
    }

    @Test("a rotation is a matrix of 1 and -1 with orthogonal columns, and its signs follow no simple pattern")
    func orthogonality() {
        for (j, column) in Self.rotation.enumerated() {
            #expect(column.allSatisfy { $0.magnitude == 1 })
            for other in Self.rotation[..<j] {
                #expect(zip(column, other).reduce(0) { $0 + $1.0 * $1.1 } == 0)
            }
        }
        // A constant row, as far as it can be, is spread over its run.
        let constant = Rows(.portable, [Float](repeating: 1, count: 128), depth: 128, stride: 128).rotated
        #expect(constant.reduce(0) { max($0, $1.magnitude) } <= 40)
        let sum = (0..<128).map { place in Self.rotation.reduce(0) { $0 + $1[place] } }
        #expect(sum == constant)
    }

    @Test("every version rotates runs of every length alike, bit by bit", arguments: KernelSet.available)
    func rotation(set: KernelSet) {
        var random = SeededGenerator(seed: 63)
        for depth in [16, 32, 48, 96, 192, 384, 1024] {
            let x = random.floats(3 * depth)
            let (rows, plain) = (
                Rows(set, x, depth: depth, stride: depth), Rows(.portable, x, depth: depth, stride: depth)
            )
            #expect(rows.rotated == plain.rotated && rows.integers.values == plain.integers.values)
            // Lengths grow by the square root of the run.
            let run = Float(min(depth & -depth, 128))
            let (before, after) = (x.reduce(0) { $0 + $1 * $1 }, rows.rotated.reduce(0) { $0 + $1 * $1 })
            #expect(abs(after - run * before) < 1e-4 * after, "\(depth)")
        }
    }

    @Test("every version rounds a row to the nearest integers of its scale", arguments: KernelSet.available)
    func rounding(set: KernelSet) {
        var random = SeededGenerator(seed: 61)
        for depth in [128, 384, 1024] {
            // The last row is rotated to one of scale 1 and halves, which go to even integers.
            let halves = Self.unrotated([127] + (1..<depth).map { Float($0 % 200) - 99.5 })
            let x =
                random.floats(depth) + [Float](repeating: 0, count: depth) + random.floats(depth).map { $0 * 0x1p-110 }
                + random.floats(depth).map { $0 * 0x1p90 } + halves
            let rows = Rows(set, x, depth: depth, stride: depth + 3)
            for (row, block) in rows.scales.values.enumerated() {
                let values = rows.rotated[row * depth..<(row + 1) * depth]
                let start = row * (depth + 3)
                let integers = rows.integers.values[start..<start + depth].map(Int.init)
                let largest = values.map(\.magnitude).max() ?? 0
                #expect(block.scale == (largest < 0x1p-100 ? 0 : largest / 127))
                #expect(Int(block.minus_sum) == -integers.reduce(0, +))
                let bound = 0.5 * Double(block.scale) * (1 + 0x1p-14)
                guard block.scale > 0 else { continue }
                for (value, integer) in zip(values, integers) {
                    #expect(abs(Double(value) - Double(integer) * Double(block.scale)) <= bound)
                }
            }
            let last = 4 * (depth + 3)
            #expect(rows.integers.values[last + 1] == -98 && rows.integers.values[last + 2] == -98)
            let plain = Rows(.portable, x, depth: depth, stride: depth + 3)
            #expect(rows.integers.values == plain.integers.values && rows.integers.isIntact && rows.scales.isIntact)
        }
    }

    @Test("what is not finite stays so in the scale, and the integers are 0", arguments: KernelSet.available)
    func notFinite(set: KernelSet) {
        for value in [Float.nan, .infinity, -.infinity] {
            var x = [Float](repeating: 1, count: 64)
            x[33] = value
            let rows = Rows(set, x, depth: 64, stride: 64)
            #expect(!rows.scales.values[0].scale.isFinite && rows.integers.values.allSatisfy { $0 == 0 })
        }
    }

    @Test("every version gives the sums of the definition, bit by bit, at the extremes of the integers too")
    func definition() {
        var random = SeededGenerator(seed: 62)
        let shapes = [
            (1, 1, 32), (2, 16, 96), (5, 17, 64), (13, 41, 256), (29, 31, 1024), (8, 35, 2304), (7, 33, 2304),
        ]
        for (count, columns, depth) in shapes {
            // What is rotated to equal magnitudes has integers of +-127 everywhere: the largest sums there are.
            let extreme = (count + columns).isMultiple(of: 2) && depth.isMultiple(of: 128)
            func values(_ n: Int) -> [Float] {
                extreme ? Self.unrotated(random.floats(n).map { $0 < 0 ? -3 : 3 }) : random.floats(n)
            }
            let (x, w) = (values(count * depth), values(columns * depth))
            let stride = depth + 64
            let rows = Rows(.portable, x, depth: depth, stride: stride)
            let weights = Rows(.portable, w, depth: depth, stride: depth)
            let largest = (rows.integers.values + weights.integers.values).count { $0.magnitude == 127 }
            // Between the rows lie bytes that stay 0.
            #expect(!extreme || largest == (count + columns) * depth)
            let run = Float(min(depth & -depth, 128))

            let (panelBytes, width) = (Int(vlm_int8_panel_bytes(Int64(depth))), Int(vlm_quantized_panel_columns()))
            let panels = Fenced([UInt8](repeating: 0xEE, count: (columns + width - 1) / width * panelBytes))
            let (weight, scratch) = (Fenced(w), Fenced([Float](repeating: 0, count: depth)))
            let integers = Fenced([Int8](repeating: 0, count: depth))
            for first in Swift.stride(from: 0, to: columns, by: width) {
                vlm_int8_pack(
                    KernelSet.portable.table, Int64(min(width, columns - first)), Int64(depth),
                    weight.pointer + first * depth, scratch.pointer, integers.pointer,
                    panels.pointer + first / width * panelBytes)
            }
            let expected = (0..<count).flatMap { row in
                (0..<columns).map { column in
                    let sum = (0..<depth).reduce(0) { sum, k in
                        sum + Int(rows.integers.values[row * stride + k])
                            * Int(weights.integers.values[column * depth + k])
                    }
                    return Float(sum) * (weights.scales.values[column].scale / run) * rows.scales.values[row].scale
                }
            }
            for set in KernelSet.available {
                let c = Fenced([Float](repeating: untouched, count: count * columns))
                var call = vlm_quantized_product(
                    rows: Int64(count), columns: Int64(columns), depth: Int64(depth),
                    q: rows.integers.pointer, ldq: Int64(stride), blocks: rows.scales.pointer, outliers: nil,
                    outlier_starts: nil,
                    outlier_rows: nil, w_type: VLM_I8,
                    panels: panels.pointer, weight: nil, run: 0, c: c.pointer, ldc: Int64(columns), epilogue: epilogue()
                )
                vlm_quantized_columns(set.table, &call, 0, Int64(columns), nil)
                #expect(c.values == expected && c.isIntact && panels.isIntact, "\(set) \(count) \(columns) \(depth)")
            }
        }
    }
}
