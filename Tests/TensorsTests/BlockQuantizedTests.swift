import Foundation
import Tensors
import TestSupport
import Testing

@Suite("Block-quantised tensors")
struct BlockQuantizedTests {
    @Test("floats, widening and gathered rows are the dequantised elements", arguments: ElementType.blockQuantized)
    func reading(type: ElementType) {
        var random = SeededGenerator(seed: 41)
        let tensor = random.blockTensor([11, 512], type)
        let expected = dequantizedReference(tensor.bytes, type)
        #expect(tensor.byteCount == 11 * 512 / type.blockCount * type.blockByteCount)
        #expect(tensor.floats == expected && tensor.widened.floats == expected)
        #expect(tensor.widened.shape == [11, 512])
        let rows = [10, 0, 3, 3]
        #expect(tensor.gatheredRows(rows).floats == rows.flatMap { expected[$0 * 512..<($0 + 1) * 512] })
        #expect(tensor.storedRows(rows).floats == rows.flatMap { expected[$0 * 512..<($0 + 1) * 512] })
        #expect(tensor.storedRows(rows).elementType == type)
        #expect(tensor[2..<5].floats == Array(expected[2 * 512..<5 * 512]))
        #expect(tensor[7].shape == [512] && tensor[7].floats == Array(expected[7 * 512..<8 * 512]))
        #expect(tensor.reshaped(to: [22, 256]).floats == expected)
    }

    /// Rows of x, rows of the weight, depth; depths beyond the pieces of the dots and the blocks of the packed form.
    static let shapes = [(1, 5, 256), (1, 33, 1792), (3, 40, 2560), (8, 17, 1024), (9, 70, 768), (33, 130, 512)]

    @Test("a product with blocks is the product with their dequantised elements", arguments: ElementType.blockQuantized)
    func products(type: ElementType) {
        var random = SeededGenerator(seed: 42)
        for context in ComputeContext.everyKernelSet + [ComputeContext(threads: 3)] {
            for (rows, columns, depth) in Self.shapes {
                let weight = random.blockTensor([columns, depth], type)
                let x = Tensor(random.floats(rows * depth), shape: [rows, depth])
                let bias = Tensor(random.floats(columns), shape: [columns])
                let (given, expected, packed, packedExpected) = context.run {
                    (
                        product(x, weight, bias: bias), product(x, weight.widened, bias: bias),
                        product(x, weight, bias: bias, isRowInvariant: true),
                        product(x, weight.widened, bias: bias, isRowInvariant: true)
                    )
                }
                // The packed form packs the same numbers. Dots of up to 1024 elements are the same sums; longer ones are
                // added in pieces, so they differ by roundings of sums of `depth` terms.
                #expect(packed.bytes == packedExpected.bytes)
                if depth <= 1024 || rows > 8 {
                    #expect(given.bytes == expected.bytes, "\(context.kernels.name), \(rows) x \(columns) x \(depth)")
                } else {
                    let magnitudes = productReference(x.magnitudes, weight.widened.magnitudes, bias: bias.magnitudes)
                    let bound = Float(depth + 2) * 0x1p-24
                    let isClose = zip(zip(given.floats, expected.floats), magnitudes.floats).allSatisfy {
                        abs($0.0 - $0.1) <= 2 * bound * $1
                    }
                    #expect(isClose, "\(context.kernels.name), \(rows) x \(columns) x \(depth)")
                }
            }
        }
    }

    @Test("the bytes of a product with blocks do not depend on the number of threads")
    func threads() {
        var random = SeededGenerator(seed: 43)
        let weight = random.blockTensor([700, 1280], .q4_K)
        for rows in [1, 20] {
            let x = Tensor(random.floats(rows * 1280), shape: [rows, 1280])
            let results = [1, 2, 5].map { ComputeContext(threads: $0).run { product(x, weight).bytes } }
            #expect(results[0] == results[1] && results[0] == results[2])
        }
    }
}

@Suite("Conversion of weights")
struct QuantizationTests {
    @Test("every float16 value comes back, and what lies between goes to the nearest, halves to even")
    func halves() throws {
        let values = (0...UInt16.max).map { Float(Float16(bitPattern: $0)) }.filter(\.isFinite)
        #expect(try Tensor(values, shape: [values.count]).converted(to: .float16).floats == values)
        var random = SeededGenerator(seed: 44)
        let others =
            (0..<200_000).map { _ in
                Float(bitPattern: UInt32(truncatingIfNeeded: random.next())).remainder(dividingBy: 65000)
            }.filter(\.isFinite) + [
                65519, -65519, 0x1p-24, 0x1p-25, 0x1.8p-25, 0x1.ffcp-15, 0x1.ffep-15, 0x1.002p0, 0x1.006p0,
            ]
        let converted = try Tensor(others, shape: [others.count]).converted(to: .float16)
        #expect(converted.floats == others.map { Float(Float16($0)) })
    }

    @Test("known blocks of Q8_0 and Q4_0 have the bytes of ggml's reference")
    func knownBlocks() throws {
        // Scale 1: the largest magnitude is 127; halves go away from zero.
        var values = [Float](repeating: 0, count: 32)
        values.replaceSubrange(0..<8, with: [127, -127, 0.5, -0.5, 1.5, 0.49, -2.5, 3])
        let q8 = try Tensor(values, shape: [32]).converted(to: .q8_0).bytes
        #expect(q8 == [0x00, 0x3C, 127, 129, 1, 255, 2, 0, 253, 3] + [UInt8](repeating: 0, count: 24))

        // The largest magnitude, 8, is positive: scale -1, and codes count downwards from 8.
        values = [Float](repeating: 0, count: 32)
        values.replaceSubrange(0..<6, with: [8, -8, 1, 0.5, -0.5, 0.51])
        values[16] = -7.4
        values[31] = 3
        let q4 = try Tensor(values, shape: [32]).converted(to: .q4_0).bytes
        #expect(q4 == [0x00, 0xBC, 0xF0, 0x8F, 0x87, 0x88, 0x89, 0x87] + [UInt8](repeating: 0x88, count: 9) + [0x58])

        // A block of zeros has scale 0; the code of zero is 8 in Q4_0. Its sign is that of 0 / -8.
        let zeros = Tensor(repeating: 0, shape: [32])
        #expect(try zeros.converted(to: .q8_0).bytes == [UInt8](repeating: 0, count: 34))
        #expect(try zeros.converted(to: .q4_0).bytes == [0, 0x80] + [UInt8](repeating: 0x88, count: 16))
    }

    @Test("known blocks of Q4_1, Q5_0 and Q5_1 have the bytes of ggml's reference")
    func otherKnownBlocks() throws {
        // From -1 to 14 in steps of 1: scale 1, least -1.
        var values = [Float](repeating: -1, count: 32)
        values.replaceSubrange(0..<4, with: [14, 0, 0.4, 0.6])
        values[16] = 7
        values[18] = 14
        let q41 = try Tensor(values, shape: [32]).converted(to: .q4_1).bytes
        #expect(q41 == [0x00, 0x3C, 0x00, 0xBC, 0x8F, 0x01, 0xF1, 0x02] + [UInt8](repeating: 0, count: 12))

        // The largest magnitude, 16, is positive: scale -1, codes count downwards from 16, fifth bits come first.
        values = [Float](repeating: 0, count: 32)
        values.replaceSubrange(0..<3, with: [16, -15, 1])
        values[17] = -3
        let q50 = try Tensor(values, shape: [32]).converted(to: .q5_0).bytes
        #expect(
            q50 == [0x00, 0xBC, 0xFA, 0xFF, 0xFF, 0xFF, 0x00, 0x3F, 0x0F] + [UInt8](repeating: 0, count: 13))

        // From 2 to 33 in steps of 1.
        values = [Float](repeating: 2, count: 32)
        values.replaceSubrange(0..<2, with: [33, 18])
        values[16] = 5
        let q51 = try Tensor(values, shape: [32]).converted(to: .q5_1).bytes
        #expect(
            q51 == [0x00, 0x3C, 0x00, 0x40, 0x03, 0, 0, 0, 0x3F, 0x00] + [UInt8](repeating: 0, count: 14))
    }

    @Test(
        "weights of a normal distribution are off by what vlm help quantize says",
        arguments: [
            (ElementType.q8_0, 0.5), (.q6_K, 1.7), (.q5_K, 3.4), (.q5_1, 3.7), (.q5_0, 4.3), (.q4_K, 6.9),
            (.q4_1, 7.7), (.q4_0, 8.6),
        ])
    func normalError(type: ElementType, percent: Double) throws {
        var random = SeededGenerator(seed: 48)
        let uniform = random.floats(2 * 65_536)
        let normal = (0..<65_536).map { index in
            // Box and Muller; `floats` are in -1...1.
            let radius = (-2 * log(max((uniform[2 * index] + 1) / 2, 1e-7))).squareRoot()
            return radius * cos(.pi * uniform[2 * index + 1])
        }
        let error = try relativeError(of: Tensor(normal, shape: [64, 1024]), as: type) * 100
        #expect(abs(error - percent) < 0.11, "\(error)")
    }

    @Test("elements that lie on a grid of the type come back", arguments: ElementType.blockQuantized)
    func grid(type: ElementType) throws {
        // Codes and scales from their least to their largest, so that there is one way to write them.
        let tops: [Float] = [63, 1, 30, 62, 5, 17, 40, 63]
        let values = (0..<512).map { index -> Float in
            let (group, code) = (index / 32 % 8, Float(index % 16))
            return switch type {
            case .q8_0: Float(index % 32) * 8 - 121
            case .q4_0: index % 32 == 0 ? -8 : code - 8
            case .q5_0: Float(index % 32) - 16
            case .q4_1: code * 0.5 + 3
            case .q5_1: Float(index % 32) * 0.25 - 2
            case .q4_K: tops[group] * code * 0x1p-4 - tops[7 - group] * 0.25
            case .q5_K: tops[group] * Float(index % 32) * 0x1p-4 - tops[7 - group] * 0.25
            default:
                (index % 16 == 3 ? -32 : code * 4 - 31) * (index / 16 % 16 == 5 ? -128 : Float(index / 16 % 16) + 1)
            }
        }
        let tensor = Tensor(values, shape: [2, 256])
        let back = try tensor.converted(to: type).floats
        let largest = values.map(\.magnitude).max() ?? 0
        #expect(zip(back, values).allSatisfy { abs($0 - $1) <= largest * 1e-3 })
    }

    @Test("zeros, constants and rows of one sign survive blocks of 256", arguments: [ElementType.q4_K, .q5_K, .q6_K])
    func plainRows(type: ElementType) throws {
        let zeros = Tensor(repeating: 0, shape: [256])
        #expect(try zeros.converted(to: type).floats == zeros.floats)
        for value in [Float(0.3), -0.3, 1e-30, 3e4] {
            let constant = Tensor(repeating: value, shape: [256])
            let back = try constant.converted(to: type).floats
            #expect(back.allSatisfy { abs($0 - value) <= max(value.magnitude * 0x1p-9, 1e-6) }, "\(value)")
        }
        for sign in [Float(1), -1] {
            let row = Tensor(Tensor.random([256], seed: 47).floats.map { $0.magnitude * sign }, shape: [256])
            let bound = type == .q4_K ? 0.05 : type == .q5_K ? 0.025 : 0.02
            #expect(try relativeError(of: row, as: type) < bound)
        }
    }

    @Test("quantised elements lie within half a step of the original", arguments: [ElementType.q8_0, .q4_0])
    func error(type: ElementType) throws {
        let tensor = Tensor.random([40, 96], seed: 45, amplitude: 3)
        let back = try tensor.converted(to: type).floats
        for start in stride(from: 0, to: tensor.count, by: 32) {
            let block = tensor.floats[start..<start + 32]
            let largest = block.map(\.magnitude).max() ?? 0
            // Half a step, and the scale's own rounding to 11 bits times the largest code. Q4_0 has no code for +8 steps
            // of the other sign: it is cut to 7, a whole step away.
            let step = type == .q8_0 ? largest / 127 : largest / 8
            let bound = (type == .q8_0 ? 0.5 : 1) * step + largest * 0x1p-11
            for index in block.indices { #expect(abs(back[index] - block[index]) <= bound * 1.0001) }
        }
    }

    @Test("elements that cannot be stored and rows that are not blocks are refused")
    func refusals() {
        #expect(throws: QuantizationError.partialBlocks(.q8_0, shape: [2, 33])) {
            try Tensor(repeating: 1, shape: [2, 33]).converted(to: .q8_0)
        }
        #expect(throws: QuantizationError.unsupported(.bfloat16)) {
            try Tensor(repeating: 1, shape: [256]).converted(to: .bfloat16)
        }
        for type in ElementType.writable where type != .float32 {
            for value in [Float.infinity, 1e30, -1e30, .nan] {
                var values = [Float](repeating: 0, count: 256)
                values[33] = value
                let error = #expect(throws: QuantizationError.self) {
                    try Tensor(values, shape: [256]).converted(to: type)
                }
                // The element, or the first one of its block.
                guard case .outOfRange(let element, _) = error else { continue }
                #expect(element == 33 || element == 33 / type.blockCount * type.blockCount)
            }
        }
    }
}

extension Tensor {
    fileprivate var magnitudes: Tensor { Tensor(floats.map(\.magnitude), shape: shape) }
}
