import NeuralNetwork
import Tensors
import TestSupport
import Testing

@Suite("Linear maps")
struct LinearPropertyTests {
    @Test("products with blocks are exact unless the context wants native ones, and where gradients flow")
    func choice() throws {
        var random = SeededGenerator(seed: 71)
        let weight = random.blockTensor([24, 128], .q4_0)
        let linear = Linear(weight: weight)
        // One block in four stands out.
        let x = Tensor(random.floats(3 * 128).enumerated().map { $1 * ($0 / 32 % 4 == 1 ? 40 : 1) }, shape: [3, 128])
        let exact = product(x, weight).floats
        #expect(linear(x).floats == exact)
        var context = ComputeContext()
        context.quantizedProducts = .native
        let map = NativeMap(try #require(NativeWeight(weight)))
        context.run {
            let native = linear(x).floats
            #expect(native != exact && native == nativeProducts(x, [map])[0].floats)
            let fine = linear(x, precision: .fineOutliers).floats
            #expect(fine != native && fine == nativeProducts(x, [map], precision: .fineOutliers)[0].floats)
            #expect(linear(Parameter("x", x).tensor).floats == exact)
        }
    }

    @Test("a gate in the epilogue is the product after it, byte for byte, and lets gradients through")
    func gate() throws {
        var random = SeededGenerator(seed: 73)
        // One row, few, and more than a block of them; several tasks, and columns that do not fill a panel.
        for (rows, columns) in [(1, 300), (9, 40), (530, 72)] {
            for types in [(ElementType.q4_0, ElementType.q4_0), (.q4_1, .q6_K)] {
                let gate = Linear(weight: random.blockTensor([columns, 256], types.0))
                let up = Linear(weight: random.blockTensor([columns, 256], types.1))
                let x = Tensor(random.floats(rows * 256), shape: [rows, 256])
                for products in [QuantizedProducts.exact, .native] {
                    var context = ComputeContext(threads: 3)
                    context.quantizedProducts = products
                    context.run {
                        let expected = siluGated(gate(x, precision: .fineOutliers), up(x, precision: .fineOutliers))
                        #expect(x.gated(by: gate, up, precision: .fineOutliers).floats == expected.floats)
                        let parameter = Parameter("x", x)
                        let exact = siluGated(product(x, gate.weight), product(x, up.weight))
                        #expect(parameter.tensor.gated(by: gate, up).floats == exact.floats)
                    }
                }
            }
        }
    }

    @Test("a residual in the epilogue is the sum after it, byte for byte, and lets gradients through")
    func residual() throws {
        var random = SeededGenerator(seed: 72)
        let bias = Tensor(random.floats(48), shape: [48])
        var native = ComputeContext()
        native.quantizedProducts = .native
        // Few rows, which read weights in place, and several tiles of them; one and several blocks of depth.
        for (rows, depth) in [(1, 64), (5, 64), (40, 1088)] {
            let weight = Tensor(random.floats(48 * depth), shape: [48, depth])
            let x = Tensor(random.floats(rows * depth), shape: [rows, depth])
            let residual = Tensor(random.floats(rows * 48), shape: [rows, 48])
            for blocks in [nil, ElementType.q8_0, .int8] {
                for activation in [Activation.identity, .gelu] {
                    let linear = Linear(weight: weight, bias: bias, quantizedTo: blocks)
                    for context in [ComputeContext(), native] {
                        context.run {
                            let sum = linear(x, activation: activation) + residual
                            #expect(linear(x, activation: activation, residual: residual).floats == sum.floats)
                        }
                    }
                }
            }
            let parameter = Parameter("r", residual)
            let ones = Tensor(repeating: 1, shape: [rows, 48])
            Linear(weight: weight)(x, residual: parameter.tensor).backward(from: ones)
            #expect(parameter.gradient?.floats == ones.floats)
        }
    }

    @Test("a weight rounded when it is packed gives what its blocks give, whatever it is stored in")
    func rounded() throws {
        var random = SeededGenerator(seed: 73)
        let weight = try Tensor(random.floats(40 * 96), shape: [40, 96]).converted(to: .float16)
        let x = Tensor(random.floats(3 * 96), shape: [3, 96])
        var context = ComputeContext()
        context.quantizedProducts = .native
        for type in [ElementType.q8_0, .q4_0] {
            let blocks = Linear(weight: try weight.converted(to: type))
            for stored in [weight, weight.widened] {
                let linear = Linear(weight: stored, quantizedTo: type)
                #expect(linear(x).floats == product(x, stored).floats, "exact products take the weight as it is stored")
                #expect(context.run { linear(x).floats == blocks(x).floats })
                #expect(context.run { linear(Parameter("x", x).tensor).floats } == product(x, stored).floats)
            }
            // A map that holds blocks keeps them.
            #expect(context.run { Linear(weight: blocks.weight, quantizedTo: .int8)(x).floats == blocks(x).floats })
        }
    }

    @Test("rows of 8 bits are within their rounding of exact products, and share rows with maps of blocks")
    func int8() throws {
        var random = SeededGenerator(seed: 74)
        let weight = try Tensor(random.floats(40 * 96), shape: [40, 96]).converted(to: .float16)
        let x = Tensor(random.floats(7 * 96), shape: [7, 96])
        let linear = Linear(weight: weight, quantizedTo: .int8)
        let blocks = Linear(weight: weight, quantizedTo: .q8_0)
        var context = ComputeContext()
        context.quantizedProducts = .native
        let exact = linear(x).floats
        context.run {
            let native = linear(x).floats
            // Rotated values are about normal: the largest of a row is some three deviations, steps are 1/127 of that, and the
            // errors of 96 products add up like their values. Of rows and weights together that is a hundredth.
            let difference = zip(native, exact).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            #expect(difference > 0 && difference < 0.02 * 0.02 * exact.reduce(0) { $0 + $1 * $1 })
            #expect(linear(x, precision: .fineOutliers).floats == native, "rows of one scale have 8 bits")
            #expect(x.mapped(by: linear, blocks).map(\.floats) == [native, blocks(x).floats])
        }
        // Rows that are no multiples of 32 stay as they are.
        let odd = Tensor(random.floats(8 * 40), shape: [8, 40])
        let y = Tensor(random.floats(40), shape: [1, 40])
        #expect(context.run { Linear(weight: odd, quantizedTo: .int8)(y).floats } == product(y, odd).floats)
    }

    @Test("rows of 8 bits keep what stands beside a value a hundred times as large")
    func outlier() {
        var random = SeededGenerator(seed: 75)
        let weight = Tensor(random.floats(40 * 1024), shape: [40, 1024])
        var values = random.floats(1024)
        var context = ComputeContext()
        context.quantizedProducts = .native
        let linear = Linear(weight: weight, quantizedTo: .int8)
        let plain = product(Tensor(values, shape: [1, 1024]), weight).floats
        values[300] = 100
        let x = Tensor(values, shape: [1, 1024])
        let (native, exact) = (context.run { linear(x).floats }, product(x, weight).floats)
        let difference = zip(native, exact).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        // In steps of 100/127, values below 1 would be off by a third of their size.
        #expect(difference < 0.12 * 0.12 * plain.reduce(0) { $0 + $1 * $1 })
    }

    @Test("a weight that is not finite makes its own outputs so", arguments: [ElementType.int8, .q8_0, .q4_0])
    func notFinite(type: ElementType) {
        var values = [Float](repeating: 0.5, count: 3 * 64)
        values[64 + 9] = .nan
        let linear = Linear(weight: Tensor(values, shape: [3, 64]), quantizedTo: type)
        var context = ComputeContext()
        context.quantizedProducts = .native
        let y = context.run { linear(Tensor(repeating: 1, shape: [1, 64])).floats }
        #expect(y[0].isFinite && y[1].isNaN && y[2].isFinite)
    }

    @Test(
        "maps applied together give what each gives alone", arguments: [QuantizedProducts.exact, .native],
        [RowPrecision.eightBits, .fineOutliers])
    func together(products: QuantizedProducts, precision: RowPrecision) {
        var random = SeededGenerator(seed: 72)
        let plain = Linear(weight: Tensor(random.floats(20 * 64), shape: [20, 64]))
        let blocks = [ElementType.q4_0, .q8_0].map { Linear(weight: random.blockTensor([20, 64], $0)) }
        let x = Tensor(random.floats(5 * 64), shape: [5, 64])
        var context = ComputeContext()
        context.quantizedProducts = products
        context.run {
            let alone = (blocks + [plain]).map { $0(x, precision: precision).floats }
            #expect(x.mapped(by: blocks[0], blocks[1], precision: precision).map(\.floats) == Array(alone[..<2]))
            #expect(x.mapped(by: blocks[0], plain, precision: precision).map(\.floats) == [alone[0], alone[2]])
        }
    }
}
