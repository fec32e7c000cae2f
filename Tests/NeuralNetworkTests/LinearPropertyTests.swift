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
        let x = Tensor(random.floats(3 * 128), shape: [3, 128])
        let exact = product(x, weight).floats
        #expect(linear(x).floats == exact)
        var context = ComputeContext()
        context.quantizedProducts = .native
        let map = NativeMap(try #require(PackedWeight(weight)))
        context.run {
            let native = linear(x).floats
            #expect(native != exact && native == nativeProducts(x, [map])[0].floats)
            let fine = linear(x, precision: .sixteenBits).floats
            #expect(fine != native && fine == nativeProducts(x, [map], precision: .sixteenBits)[0].floats)
            #expect(linear(Parameter("x", x).tensor).floats == exact)
        }
    }

    @Test(
        "maps applied together give what each gives alone", arguments: [QuantizedProducts.exact, .native],
        [RowPrecision.eightBits, .sixteenBits])
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
