import LanguageDecoder
import Tensors
import Testing

@Suite struct SamplerPropertyTests {
    private let logits = Tensor([1, 3, 2, 3, -1], shape: [1, 5])

    @Test("greedy takes the largest logit, the lowest id on a tie")
    func greedy() {
        var sampler = Sampler(SamplingOptions())
        #expect(sampler.next(logits) == 1)
    }

    @Test("the same seed draws the same tokens, another seed others")
    func seeds() {
        func draw(_ seed: UInt64) -> [Int] {
            var sampler = Sampler(SamplingOptions(temperature: 1, seed: seed))
            return (0..<200).map { _ in sampler.next(logits) }
        }
        #expect(draw(7) == draw(7))
        #expect(draw(7) != draw(8))
    }

    @Test("frequencies follow the softmax at the temperature")
    func frequencies() {
        var sampler = Sampler(SamplingOptions(temperature: 2, seed: 1))
        var counts = [Double](repeating: 0, count: 5)
        for _ in 0..<40_000 { counts[sampler.next(logits)] += 1 }
        let weights = softmax(Tensor(logits.floats.map { $0 / 2 }, shape: [5])).floats
        for (count, weight) in zip(counts, weights) { #expect(abs(count / 40_000 - Double(weight)) < 0.015) }
    }

    @Test("top-k and top-p leave only the most probable tokens")
    func limits() {
        var one = Sampler(SamplingOptions(temperature: 5, topK: 1, seed: 3))
        var two = Sampler(SamplingOptions(temperature: 5, topK: 2, seed: 3))
        var tiny = Sampler(SamplingOptions(temperature: 5, topP: 0.01, seed: 3))
        for _ in 0..<500 {
            #expect(one.next(logits) == 1)
            #expect([1, 3].contains(two.next(logits)))
            #expect(tiny.next(logits) == 1)
        }
    }
}
