import Tensors
import TestSupport
import Testing

@Suite struct MatrixProductPropertyTests {
    @Test(
        "the product equals the plain one for every kernel set, layout and weight type",
        arguments: [(1, 1, 1), (1, 33, 17), (3, 65, 64), (5, 40, 259), (13, 129, 300), (64, 96, 128)])
    func equalsReference(rows: Int, columns: Int, depth: Int) {
        let x = Tensor.random([rows, depth], seed: 1)
        let bias = Tensor.random([columns], seed: 2)
        for layout in [WeightLayout.outIn, .inOut] {
            let shape = layout == .outIn ? [columns, depth] : [depth, columns]
            let full = Tensor.random(shape, seed: 3)
            for weight in [full, full.asBFloat16] {
                let expected = productReference(x, weight, layout: layout, bias: bias)
                for context in ComputeContext.everyKernelSet {
                    let got = context.run { product(x, weight, layout: layout, bias: bias) }
                    // Sums of `depth` products of numbers below 1 in float32: depth · 2⁻²⁴ bounds each partial sum's
                    // rounding, and rounding errors partly cancel.
                    #expect(got.distance(to: expected) <= Float(depth + 8) * 0x1p-23, "\(context.kernels.name)")
                }
            }
        }
    }

    @Test("a row-invariant product gives a row the same bytes however many rows there are")
    func rowInvariance() {
        let x = Tensor.random([40, 96], seed: 4)
        let weight = Tensor.random([70, 96], seed: 5)
        for context in ComputeContext.everyKernelSet {
            context.run {
                let all = product(x, weight, isRowInvariant: true)
                for rows in 1...40 {
                    #expect(product(x[0..<rows], weight, isRowInvariant: true).bytes == all[0..<rows].bytes)
                }
            }
        }
    }

    @Test("the product has the same bytes on 1, 2 and 5 threads")
    func threadInvariance() {
        let x = Tensor.random([37, 200], seed: 6)
        let weight = Tensor.random([500, 200], seed: 7)
        let results = [1, 2, 5].map { ComputeContext(threads: $0).run { product(x, weight, activation: .gelu) }.bytes }
        #expect(results[0] == results[1] && results[0] == results[2])
    }
}
