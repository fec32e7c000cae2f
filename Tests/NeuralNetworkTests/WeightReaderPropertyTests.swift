import NeuralNetwork
import Tensors
import TestSupport
import Testing

@Suite struct WeightReaderPropertyTests {
    @Test("everything that is missing or misshapen is reported at once, by its full name")
    func findings() {
        let reader = WeightReader([
            "a.weight": Tensor(repeating: 1, shape: [2, 3]), "b": Tensor(integers: [1], shape: [1]),
        ])
        let scoped = reader.scoped("a")
        #expect(scoped.matrix("weight", [2, 3]).floats == Array(repeating: 1, count: 6))
        _ = scoped.matrix("other", [4])
        _ = reader.matrix("b", [1])
        _ = reader.scoped("c").vector("bias", 7)
        _ = scoped.matrix("weight", [3, 2])
        let error = #expect(throws: WeightError.self) { try reader.finish(source: "here") }
        guard case .unusable(let source, let missing, let mismatched)? = error else { return }
        #expect(source == "here" && missing == ["a.other", "c.bias"])
        #expect(mismatched.count == 2 && mismatched[0].contains("a.weight") && mismatched[1].contains("b"))
    }

    @Test("a stand-in for a missing weight has the wanted shape and takes no memory worth naming")
    func standIns() {
        let reader = WeightReader([:])
        let huge = reader.matrix("weight", [1 << 20, 1 << 18])
        #expect(huge.shape == [1 << 20, 1 << 18])
        #expect(throws: WeightError.self) { try reader.finish(source: "here") }
    }

    @Test("what no layer asked for is known")
    func unused() {
        let reader = WeightReader(["a": Tensor(repeating: 1, shape: [1]), "b": Tensor(repeating: 1, shape: [1])])
        _ = reader.matrix("a", [1])
        #expect(reader.unused == ["b"])
    }
}

@Suite struct CrossEntropyPropertyTests {
    @Test("the loss of equal logits is the logarithm of the vocabulary, and ignored labels do not count")
    func uniform() {
        let logits = Tensor(repeating: 3, shape: [4, 10])
        let (loss, count) = CrossEntropyLoss.sum(hiddenStates: logits, labels: [1, -100, 9, -100]) { $0 }
        #expect(count == 2)
        // Two logarithms of 10 in float32, each within an ulp or two.
        #expect(abs(Double(loss.floats[0]) - 2 * 2.302_585_092_994) < 2e-6)
    }
}

@Suite struct RotaryPropertyTests {
    @Test("turning by positions keeps lengths and makes products depend on distance alone")
    func relative() {
        let rotary = RotaryEmbedding(headSize: 8, theta: 10_000)
        let (q, k) = (Tensor.random([1, 8], seed: 1), Tensor.random([1, 8], seed: 2))
        func product(_ i: Int, _ j: Int) -> Float {
            zip(rotary([i])(q).floats, rotary([j])(k).floats).reduce(0) { $0 + $1.0 * $1.1 }
        }
        #expect(abs(product(3, 1) - product(12, 10)) < 1e-5)
        #expect(abs(product(3, 1) - product(3, 2)) > 1e-3)
        #expect(rotary([0])(q).bytes == q.bytes)
    }

    @Test("linear scaling divides positions")
    func scaling() {
        let plain = RotaryEmbedding(headSize: 8, theta: 10_000)
        let scaled = RotaryEmbedding(headSize: 8, theta: 10_000, scalingFactor: 4)
        let x = Tensor.random([1, 8], seed: 3)
        #expect(scaled([8])(x).bytes == plain([2])(x).bytes)
    }
}
