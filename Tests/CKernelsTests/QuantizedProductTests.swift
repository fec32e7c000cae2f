import CKernels
import Foundation
import Tensors
import TestSupport
import Testing

@Suite("Products of 8-bit rows with blocks, packed and where they lie")
struct QuantizedProductTests {
    /// Rows as `quantize_row` writes them.
    struct Rows {
        let integers: Fenced<Int8>
        let blocks: Fenced<vlm_row_block>

        init(_ set: KernelSet, _ x: [Float], depth: Int) {
            let count = x.count / depth
            integers = Fenced([Int8](repeating: 0, count: x.count))
            blocks = Fenced([vlm_row_block](repeating: vlm_row_block(), count: x.count / 32))
            for row in 0..<count {
                let values = Fenced(Array(x[row * depth..<(row + 1) * depth]))
                set.functions.quantize_row(
                    Int64(depth), values.pointer, integers.pointer + row * depth, blocks.pointer + row * depth / 32)
            }
        }

        /// The bits of everything there is.
        var bits: [Int] {
            integers.values.map(Int.init)
                + blocks.values.flatMap { block in
                    [
                        Int(block.scale.bitPattern), Int(block.scaled_sum.bitPattern), Int(block.minus_sum),
                        Int(block.minus_half_sum.0), Int(block.minus_half_sum.1),
                    ]
                }
        }
    }

    /// Values of every magnitude: zeros, what is too small to count, what is large, halves.
    static func values(_ random: inout SeededGenerator, blocks: Int) -> [Float] {
        (0..<blocks).flatMap { block -> [Float] in
            switch block % 6 {
            case 0: random.floats(32)
            case 1: [Float](repeating: 0, count: 32)
            case 2: random.floats(32).map { $0 * 0x1p-110 }
            case 3: random.floats(32).map { $0 * 0x1p100 }
            case 4: [127] + (1..<32).map { Float($0) - 16.5 }  // scale 1: halves go to even integers
            default: random.floats(32).map { $0 * $0 * $0 * 40 }
            }
        }
    }

    @Test("every version rounds rows to the nearest integers of the block's scale", arguments: KernelSet.available)
    func rounding(set: KernelSet) {
        var random = SeededGenerator(seed: 51)
        let x = Self.values(&random, blocks: 60)
        let rows = Rows(set, x, depth: x.count)
        for (index, block) in rows.blocks.values.enumerated() {
            let values = x[index * 32..<index * 32 + 32]
            let integers = rows.integers.values[index * 32..<index * 32 + 32].map(Int.init)
            let largest = values.map(\.magnitude).max() ?? 0
            #expect(block.scale == (largest < 0x1p-100 ? 0 : largest / 127))
            let sum = integers.reduce(0, +)
            #expect(Int(block.minus_sum) == -sum && block.scaled_sum == block.scale * Float(sum))
            #expect(Int(block.minus_half_sum.0) == -integers.prefix(16).reduce(0, +))
            #expect(Int(block.minus_half_sum.1) == -integers.suffix(16).reduce(0, +))
            for (value, integer) in zip(values, integers) {
                // Half a step, and the rounding of the inverse scale and of the product with it.
                let bound = 0.5 * Double(block.scale) * (1 + 0x1p-14)
                if block.scale > 0 { #expect(abs(Double(value) - Double(integer) * Double(block.scale)) <= bound) }
            }
        }
        #expect(rows.integers.values[4 * 32 + 1] == -16 && rows.integers.values[4 * 32 + 2] == -14)
        #expect(rows.integers.isIntact && rows.blocks.isIntact)
        #expect(rows.bits == Rows(.portable, x, depth: x.count).bits)
    }

    @Test("a value that is not finite makes the scale of its block so", arguments: KernelSet.available)
    func notFinite(set: KernelSet) {
        var x = [Float](repeating: 1, count: 96)
        x[5] = .nan
        x[40] = -.infinity
        let rows = Rows(set, x, depth: 96)
        #expect(rows.blocks.values[0].scale.isNaN && rows.blocks.values[1].scale == .infinity)
        #expect(rows.blocks.values[2].scale == Float(1) / 127)
        #expect(rows.integers.values[0..<64].allSatisfy { $0 == 0 })
    }

    /// A product, columns packed by 16 or read where they lie, of memory that ends where it must.
    static func product(
        _ set: KernelSet, _ code: vlm_element, _ rows: Rows, _ weight: [UInt8], rowBytes: Int, depth: Int,
        isPacked: Bool = true
    ) -> [Float] {
        let (count, columns) = (rows.integers.count / depth, weight.count / rowBytes)
        let panelBytes = Int(vlm_quantized_panel_bytes(code, Int64(depth)))
        let width = Int(vlm_quantized_panel_columns())
        let panels = Fenced([UInt8](repeating: 0xEE, count: (columns + width - 1) / width * panelBytes))
        let w = Fenced(weight)
        for first in stride(from: 0, to: columns, by: width) {
            vlm_quantized_pack(
                code, Int64(min(width, columns - first)), Int64(depth), w.raw + first * rowBytes,
                Int64(rowBytes), panels.pointer + first / width * panelBytes)
        }
        let c = Fenced([Float](repeating: untouched, count: count * columns))
        var call = vlm_quantized_product(
            rows: Int64(count), columns: Int64(columns), depth: Int64(depth), q: rows.integers.pointer,
            ldq: Int64(depth), blocks: rows.blocks.pointer, outliers: nil, outlier_starts: nil,
            outlier_rows: nil, w_type: code, panels: isPacked ? UnsafePointer(panels.pointer) : nil,
            weight: isPacked ? nil : UnsafePointer(w.pointer), run: 0, c: c.pointer,
            ldc: Int64(columns),
            epilogue: epilogue())
        let scratch = Fenced([Float](repeating: untouched, count: max(1, vlm_quantized_scratch(set.table, &call))))
        vlm_quantized_columns(set.table, &call, 0, Int64(columns), scratch.pointer)
        #expect(c.isIntact && panels.isIntact && scratch.isIntact)
        return c.values
    }

    @Test("every version gives the sums of the definition, bit by bit", arguments: ElementType.blockQuantized)
    func definition(type: ElementType) throws {
        let code = try #require(DequantizeTests.codes[type])
        var random = SeededGenerator(seed: 52)
        let shapes = [
            (1, 1, 256), (2, 16, 512), (5, 17, 768), (13, 40, 256), (27, 31, 1024), (18, 33, 2304), (519, 18, 256),
        ]
        for (count, columns, depth) in shapes {
            let weight = random.blocks(type, count: columns * depth / type.blockCount)
            let x = (0..<count).flatMap { _ in Self.values(&random, blocks: depth / 32) }
            let rowBytes = depth / type.blockCount * type.blockByteCount
            let rows = Rows(.portable, x, depth: depth)
            let results = KernelSet.available.map {
                Self.product($0, code, rows, weight, rowBytes: rowBytes, depth: depth).map(\.bitPattern)
            }
            for (set, result) in zip(KernelSet.available, results) {
                #expect(result == results[0], "\(set), \(count) x \(columns) x \(depth)")
                guard set.table.pointee.open_rows != nil else { continue }
                let unpacked = Self.product(
                    set, code, rows, weight, rowBytes: rowBytes, depth: depth, isPacked: false)
                #expect(unpacked.map(\.bitPattern) == results[0], "\(set) in place, \(count) x \(columns) x \(depth)")
            }
            // Against the sum in double precision of the dequantised weights and the rounded rows.
            let w = dequantizedReference(weight, type).map(Double.init)
            let a = zip(rows.integers.values, 0...).map {
                Double($0.0) * Double(rows.blocks.values[$0.1 / 32].scale)
            }
            for r in 0..<count {
                for j in 0..<columns {
                    let terms = (0..<depth).map { a[r * depth + $0] * w[j * depth + $0] }
                    // What is added is d s q a and m s a apart: an offset is at most 32 steps from the largest element,
                    // so both are within 65 times the products of the largest magnitudes of their group.
                    let magnitude = stride(from: 0, to: depth, by: 32).reduce(0.0) { sum, k in
                        let largest = w[(j * depth + k)..<(j * depth + k + 32)].map(\.magnitude).max() ?? 0
                        return sum + largest * a[(r * depth + k)..<(r * depth + k + 32)].reduce(0) { $0 + $1.magnitude }
                    }
                    let error = abs(Double(Float(bitPattern: results[0][r * columns + j])) - terms.reduce(0, +))
                    #expect(error <= Double(2 * depth / 32 + 4) * 0x1p-24 * 65 * magnitude, "\(r), \(j)")
                }
            }
        }
    }

    @Test("codes of every kind come through at their extremes", arguments: ElementType.blockQuantized)
    func extremes(type: ElementType) throws {
        let code = try #require(DequantizeTests.codes[type])
        let depth = 256
        // The largest sums of integers: all bits set, all clear, and rows of +-127.
        let x = (0..<4).flatMap { row in (0..<depth).map { Float(row == 0 || (row + $0) % 3 == 0 ? 127 : -127) } }
        for filler in [UInt8(0), 0x7F, 0x80, 0xFF] {
            var weight = [UInt8](repeating: filler, count: depth / type.blockCount * type.blockByteCount)
            for block in 0..<depth / type.blockCount {
                let at = block * type.blockByteCount + (type == .q6_K ? 208 : 0)
                weight.replaceSubrange(at..<at + 2, with: [0x00, 0x3C])  // 1
                if [.q4_1, .q5_1, .q4_K, .q5_K].contains(type) {
                    weight.replaceSubrange(at + 2..<at + 4, with: [0x00, 0xBC])  // -1
                }
            }
            let w = dequantizedReference(weight, type)
            let rows = Rows(.portable, x, depth: depth)
            for set in KernelSet.available {
                let c = Self.product(set, code, rows, weight, rowBytes: weight.count, depth: depth)
                if set.table.pointee.open_rows != nil {
                    let unpacked = Self.product(
                        set, code, rows, weight, rowBytes: weight.count, depth: depth, isPacked: false)
                    #expect(unpacked.map(\.bitPattern) == c.map(\.bitPattern))
                }
                let expected = (0..<4).map { row in
                    (0..<depth).reduce(0.0) { $0 + Double(x[row * depth + $1]) * Double(w[$1]) }
                }
                // Everything is an integer below 2^31, of which float32 keeps 24 bits after each group.
                for (given, wanted) in zip(c, expected) {
                    #expect(
                        abs(Double(given) - wanted) <= 24 * 0x1p-24 * 127 * 256 * Double(w.map(\.magnitude).max() ?? 0))
                }
            }
        }
    }
}
