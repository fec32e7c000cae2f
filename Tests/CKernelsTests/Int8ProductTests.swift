import CKernels
import Foundation
import TestSupport
import Testing

@Suite("Products of rows and weights of 8 bits with one scale each")
struct Int8ProductTests {
    struct Rows {
        let integers: Fenced<Int8>
        let scales: Fenced<vlm_row_block>

        init(_ set: KernelSet, _ x: [Float], depth: Int, stride: Int) {
            let count = x.count / depth
            integers = Fenced([Int8](repeating: 0, count: (count - 1) * stride + depth))
            scales = Fenced([vlm_row_block](repeating: vlm_row_block(), count: count))
            for row in 0..<count {
                let values = Fenced(Array(x[row * depth..<(row + 1) * depth]))
                set.functions.int8_row(
                    Int64(depth), values.pointer, integers.pointer + row * stride, scales.pointer + row)
            }
        }
    }

    @Test("every version rounds a row to the nearest integers of its scale", arguments: KernelSet.available)
    func rounding(set: KernelSet) {
        var random = SeededGenerator(seed: 61)
        for depth in [32, 96, 1024] {
            // The last row has scale 1 and halves, which go to even integers.
            let halves = [127] + (1..<depth).map { Float($0 % 200) - 99.5 }
            let x =
                random.floats(depth) + [Float](repeating: 0, count: depth) + random.floats(depth).map { $0 * 0x1p-110 }
                + random.floats(depth).map { $0 * 0x1p90 } + halves
            let rows = Rows(set, x, depth: depth, stride: depth + 3)
            for (row, block) in rows.scales.values.enumerated() {
                let values = x[row * depth..<(row + 1) * depth]
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
        for (count, columns, depth) in [(1, 1, 32), (2, 16, 96), (5, 17, 64), (13, 40, 256), (29, 31, 1024)] {
            // Rows and weights of equal magnitudes have integers of +-127 everywhere: the largest sums there are.
            let extreme = (count + columns).isMultiple(of: 2)
            func values(_ n: Int) -> [Float] { extreme ? random.floats(n).map { $0 < 0 ? -3 : 3 } : random.floats(n) }
            let (x, w) = (values(count * depth), values(columns * depth))
            let stride = depth + 64
            let rows = Rows(.portable, x, depth: depth, stride: stride)
            let weights = Rows(.portable, w, depth: depth, stride: depth)

            let (panelBytes, width) = (Int(vlm_int8_panel_bytes(Int64(depth))), Int(vlm_quantized_panel_columns()))
            let panels = Fenced([UInt8](repeating: 0xEE, count: (columns + width - 1) / width * panelBytes))
            let (weight, scratch) = (Fenced(w), Fenced([Int8](repeating: 0, count: depth)))
            for first in Swift.stride(from: 0, to: columns, by: width) {
                vlm_int8_pack(
                    Int64(min(width, columns - first)), Int64(depth), weight.pointer + first * depth, scratch.pointer,
                    panels.pointer + first / width * panelBytes)
            }
            let expected = (0..<count).flatMap { row in
                (0..<columns).map { column in
                    let sum = (0..<depth).reduce(0) { sum, k in
                        sum + Int(rows.integers.values[row * stride + k])
                            * Int(weights.integers.values[column * depth + k])
                    }
                    return Float(sum) * weights.scales.values[column].scale * rows.scales.values[row].scale
                }
            }
            for set in KernelSet.available {
                let c = Fenced([Float](repeating: untouched, count: count * columns))
                var call = vlm_quantized_product(
                    rows: Int64(count), columns: Int64(columns), depth: Int64(depth),
                    q: rows.integers.pointer, ldq: Int64(stride), blocks: rows.scales.pointer, outliers: nil,
                    outlier_starts: nil,
                    outlier_rows: nil, w_type: VLM_I8,
                    panels: panels.pointer, c: c.pointer, ldc: Int64(columns), bias: nil, activation: VLM_IDENTITY)
                vlm_quantized_columns(set.table, &call, 0, Int64(columns), nil)
                #expect(c.values == expected && c.isIntact && panels.isIntact, "\(set) \(count) \(columns) \(depth)")
            }
        }
    }
}
