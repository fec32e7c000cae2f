import Tensors
import TestSupport
import Testing

@Suite("Native products with blocks")
struct NativeProductTests {
    static func native(_ context: ComputeContext) -> ComputeContext {
        var context = context
        context.quantizedProducts = .native
        return context
    }

    /// Rows of values below 1 in which every seventh block and the last is forty times larger: above twice the mean.
    static func rows(_ count: Int, depth: Int, _ random: inout SeededGenerator) -> Tensor {
        let values = random.floats(count * depth).enumerated().map { index, value in
            let block = index % depth / 32
            return value * (block % 7 == 3 || block == depth / 32 - 1 ? 40 : 1)
        }
        return Tensor(values, shape: [count, depth])
    }

    @Test(
        "a native product differs from the exact one by no more than rounding rows to 8 bits, or 16 where they stand out, explains",
        arguments: ElementType.blockQuantized, [RowPrecision.eightBits, .fineOutliers])
    func error(type: ElementType, precision: RowPrecision) throws {
        var random = SeededGenerator(seed: 61)
        for (rows, columns, depth) in [(1, 5, 256), (3, 40, 1536), (30, 33, 512), (20, 17, 2560)] {
            let weight = random.blockTensor([columns, depth], type)
            let map = NativeMap(try #require(NativeWeight(weight)))
            let x = Self.rows(rows, depth: depth, &random)
            let given = nativeProducts(x, [map], precision: precision)[0]
            let exact = productReference(x, weight)
            #expect(given.shape == exact.shape)
            let (values, w) = (x.floats, weight.floats)
            for r in 0..<rows {
                for j in 0..<columns {
                    // Each value moves by at most half a step of its block, or where that stands out of what the first part
                    // left of it. The rest, of the order of 2^-24, is far below the slack of 2^-10 half a step.
                    let maxima = stride(from: r * depth, to: (r + 1) * depth, by: 32).map { k in
                        values[k..<k + 32].map(\.magnitude).max() ?? 0
                    }
                    let mean = maxima.reduce(0, +) / Float(maxima.count)
                    let bound = stride(from: 0, to: depth, by: 32).reduce(Float(0)) { sum, k in
                        let largest = maxima[k / 32]
                        let steps: Float = precision == .fineOutliers && largest > 2 * mean ? 1 / 254 : 1
                        let weights = w[(j * depth + k)..<(j * depth + k + 32)].reduce(0) { $0 + $1.magnitude }
                        return sum + largest / 254 * weights * (steps + 0x1p-10)
                    }
                    let difference = abs(given.floats[r * columns + j] - exact.floats[r * columns + j])
                    #expect(difference <= bound, "\(r), \(j) of \(rows) x \(columns) x \(depth)")
                }
            }
        }
    }

    @Test(
        "a row has the same bytes on any kernels and threads, alone, among others and beside other maps",
        arguments: [RowPrecision.eightBits, .fineOutliers])
    func invariance(precision: RowPrecision) throws {
        var random = SeededGenerator(seed: 62)
        let types: [ElementType] = [.q4_1, .q8_0, .q6_K]
        let weights = types.map { random.blockTensor([70, 768], $0) }
        let bias = Tensor(random.floats(70), shape: [70])
        let x = Self.rows(29, depth: 768, &random)
        func maps() throws -> [NativeMap] {
            try weights.map { NativeMap(try #require(NativeWeight($0)), bias: bias, activation: .relu) }
        }
        let together = try ComputeContext(threads: 1).run { try nativeProducts(x, maps(), precision: precision) }
        let contexts = [ComputeContext(threads: 2), ComputeContext(threads: 5)] + ComputeContext.everyKernelSet
        for (context, packing) in contexts.flatMap({ [($0, WeightPacking.atOnce), ($0, .afterSomeUse)] }) {
            var context = context
            context.packing = packing
            try context.run {
                for (result, map) in try zip(together, maps()) {
                    let alone = nativeProducts(x, [map], precision: precision)[0]
                    let row = nativeProducts(x[7..<8], [map], precision: precision)[0]
                    #expect(alone.floats == result.floats, "\(context.kernels.name)")
                    #expect(row.floats == result[7..<8].floats)
                }
            }
        }
        #expect(together.allSatisfy { $0.floats.contains { $0 > 0 } && $0.floats.contains(0) })
    }

    @Test("weights are packed after some use, with the same result, and at once where that is wanted")
    func packing() throws {
        var random = SeededGenerator(seed: 65)
        let blocks = random.blockTensor([48, 256], .q4_0)
        let x = Tensor(random.floats(2 * 256), shape: [2, 256])
        /// How many products of a weight do without panels, all with the same result.
        func patience(_ weight: NativeWeight, _ packing: WeightPacking, _ kernels: KernelSet = .best) -> Int {
            var (context, first, count) = (ComputeContext(kernels: kernels), [Float](), 0)
            context.packing = packing
            while !weight.isPacked, count < 100 {
                let result = context.run { nativeProducts(x, [NativeMap(weight)])[0].floats }
                if first.isEmpty { first = result }
                #expect(result == first)
                count += 1
            }
            return count - 1
        }
        // Rows of a weight are weights that begin elsewhere.
        let waits = try (0..<40).map { patience(try #require(NativeWeight(blocks[$0..<$0 + 8])), .afterSomeUse) }
        if KernelSet.best.name == "portable" {
            #expect(waits.allSatisfy { $0 == 0 })
        } else {
            #expect(waits.allSatisfy { (32...95).contains($0) } && Set(waits).count > 20)
        }
        #expect(patience(try #require(NativeWeight(blocks)), .atOnce) == 0)
        if KernelSet.best.name != "portable" {
            #expect(patience(try #require(NativeWeight(blocks)), .never) == 99)
        }
        // Regrouped rows wait by where those are that they come from.
        for first in 0..<16 {
            let slice = blocks[first..<first + 32]
            let regrouped = patience(try #require(NativeWeight(slice.evenRowsFirst(inRunsOf: 32))), .afterSomeUse)
            #expect(regrouped == patience(try #require(NativeWeight(slice)), .afterSomeUse))
        }
        let portable = KernelSet.available[KernelSet.available.count - 1]
        #expect(patience(try #require(NativeWeight(blocks)), .afterSomeUse, portable) == 0)
        let plain = Tensor(random.floats(48 * 256), shape: [48, 256])
        // What is rounded cannot be read where it lies; rows of integers are rounded twice.
        #expect(patience(try #require(NativeWeight(plain, as: .q8_0)), .afterSomeUse) == 0)
        #expect(patience(try #require(NativeWeight(plain, as: .int8)), .afterSomeUse) == 1)
        #expect(patience(try #require(NativeWeight(plain, as: .int8)), .atOnce) == 0)
    }

    @Test("rows that are regrouped are multiplied as a copy of them is, in place and packed", arguments: [8, 64])
    func regrouped(run: Int) throws {
        var random = SeededGenerator(seed: 66)
        let stored = random.blockTensor([192, 256], .q4_1)
        let order = (0..<192).map { $0 / run * run + ($0 % run < run / 2 ? 2 * ($0 % run) : 2 * ($0 % run) - run + 1) }
        let copy = stored.storedRows(order)
        for rows in [1, 5, 40] {
            let x = Tensor(random.floats(rows * 256), shape: [rows, 256])
            for context in ComputeContext.everyKernelSet {
                for packing in [WeightPacking.atOnce, .afterSomeUse] {
                    var context = context
                    context.packing = packing
                    try context.run {
                        let results = try [stored.evenRowsFirst(inRunsOf: run), copy].map {
                            nativeProducts(x, [NativeMap(try #require(NativeWeight($0)))])[0].floats
                        }
                        #expect(results[0] == results[1], "\(rows) rows, \(context.kernels.name), \(packing)")
                    }
                }
            }
        }
        let regrouped = stored.evenRowsFirst(inRunsOf: run)
        #expect(regrouped.bytes == copy.bytes && regrouped[64..<128].floats == copy[64..<128].floats)
    }

    @Test("packed weights take the bytes of their blocks, and plain types cannot be packed")
    func bytes() throws {
        var random = SeededGenerator(seed: 63)
        for type in [ElementType.q8_0, .q4_0, .q4_1] {
            let weight = random.blockTensor([48, 256], type)
            #expect(NativeWeight(weight)?.byteCount == weight.byteCount)
        }
        #expect(NativeWeight(Tensor(repeating: 0, shape: [4, 32])) == nil)
    }

    @Test("values that are not finite are not hidden")
    func notFinite() throws {
        var random = SeededGenerator(seed: 64)
        let map = NativeMap(try #require(NativeWeight(random.blockTensor([20, 64], .q4_0))))
        var values = random.floats(128)
        values[70] = .nan
        let result = nativeProducts(Tensor(values, shape: [2, 64]), [map])[0]
        #expect(result[0..<1].floats.allSatisfy(\.isFinite) && result[1..<2].floats.allSatisfy(\.isNaN))
    }
}
