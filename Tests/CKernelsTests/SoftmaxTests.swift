import CKernels
import Foundation
import TestSupport
import Testing

@Suite("Softmax")
struct SoftmaxTests {
    @Test("softmax agrees with double precision and sums to one", arguments: KernelSet.available)
    func softmax(set: KernelSet) {
        var random = SeededGenerator(seed: 9)
        for n in Array(1...50) + [127, 577, 1000] {
            for scale: Float in [0, 1, 30, 1000] {
                let x = random.floats(n).map { scale * $0 + 3 }, y = Fenced(x)
                set.functions.softmax(Int64(n), y.pointer)
                let top = Double(x.max()!), e = x.map { exp(Double($0) - top) }, sum = e.reduce(0, +)
                for (value, e) in zip(y.values, e) {
                    // Relative: the subtraction of the maximum rounds an argument of at most 88 (below, exp is 0) by
                    // 88 x 2^-24 = 5.2e-6; exp adds 3e-7 and the sum of n terms in the worst order n 2^-24, in
                    // practice its square root: 1e-5 in all.
                    #expect((Double(value) - e / sum).magnitude <= 1e-5 * (e / sum) + 1e-37)
                }
                #expect((y.values.reduce(0) { $0 + Double($1) } - 1).magnitude < 1e-5)
                #expect(y.isIntact)
            }
        }
    }

    @Test("exp keeps its accuracy down to -86", arguments: KernelSet.available)
    func exponential(set: KernelSet) {
        // softmax of (0, x) holds the factors 1 : e^x. exp is within 2.3 ulp, the division adds one rounding to each;
        // log2(e) in one float instead of two would cost up to 64 ulp at -87.
        var worst = 0.0
        for x in stride(from: Float(-86), through: 0, by: 0.0137) {
            let y = Fenced<Float>([0, x])
            set.functions.softmax(2, y.pointer)
            let factor = Double(y.values[1]) / Double(y.values[0])
            worst = max(worst, (factor / exp(Double(x)) - 1).magnitude)
        }
        #expect(worst <= 3.5 * 0x1p-23)
    }

    /// One online step of one row.
    static func step(_ set: KernelSet, _ x: Fenced<Float>, maximum: Float, sum: Float) -> (
        maximum: Float, sum: Float, correction: Float
    ) {
        var (maximum, sum, correction) = (maximum, sum, Float.nan)
        set.functions.online_softmax(1, [Int64(x.values.count)], [x.pointer], &maximum, &sum, &correction)
        return (maximum, sum, correction)
    }

    /// Runs one online step from maximum 0 and an empty sum over non-positive values, which makes it a plain exp2.
    static func exp2(_ set: KernelSet, _ x: [Float]) -> [Float] {
        let y = Fenced(x)
        let step = step(set, y, maximum: 0, sum: 0)
        precondition(step.maximum == 0)
        return y.values
    }

    @Test("exp2 of a negative float is within 2.1 ulp", arguments: KernelSet.available)
    func ulps(set: KernelSet) {
        // Degree 5 was found 2.04 ulp wide over every float in [-125, -4.7e-10]; every 1009th is taken here.
        let first = Float(-0x1p-31).bitPattern, last = Float(-126).bitPattern
        let x = Array(stride(from: first, through: last, by: 1009)).map { Float(bitPattern: $0) }
        var worst = 0.0
        for (x, y) in zip(x, Self.exp2(set, x)) {
            let exact = Foundation.exp2(Double(x))
            worst = max(worst, (Double(y) - exact).magnitude / Double(Float(exact).ulp))
        }
        #expect(worst <= 2.1)
    }

    @Test("exp2 is 1 at 0, 0 far below, and never subnormal or NaN in a vector", arguments: KernelSet.available)
    func limits(set: KernelSet) {
        let far: [Float] = [-0.0, 0, -126, -126.5, -127, -149, -150, -1000, -1e10, -1e30, -3e38, -.infinity]
        for x in far {
            for lanes in [1, 8, 16, 19] {
                for y in Self.exp2(set, [Float](repeating: x, count: lanes)) {
                    switch x {
                    case 0: #expect(y == 1)
                    case -126: #expect(y == 0x1p-126)
                    case ..<(-151): #expect(y == 0)
                    default: #expect(set.isFused ? y == 0 : y < 0x1p-126)
                    }
                }
            }
        }
    }

    @Test("an online step gives the maximum, the rescaled sum and the correction", arguments: KernelSet.available)
    func onlineStep(set: KernelSet) {
        var random = SeededGenerator(seed: 10)
        for n in Array(1...40) + [255, 256] {
            for start: Float in [-1e30, -3, 0.25, 5] {
                let x = random.floats(n).map { 4 * $0 }, y = Fenced(x)
                let before: Float = start == -1e30 ? 0 : 2.5
                let (maximum, sum, correction) = Self.step(set, y, maximum: start, sum: before)
                let top = max(start, x.max()!)
                let exact = x.map { Foundation.exp2(Double($0) - Double(top)) }
                let expectedCorrection = start == -1e30 ? 0 : Foundation.exp2(Double(start) - Double(top))
                #expect(maximum == top)
                // exp2 is within 2.1 ulp of at most 1, its argument within 2^-24 of 8: 1e-6 in all.
                #expect((Double(correction) - expectedCorrection).magnitude <= 1e-6)
                let total = Double(before) * expectedCorrection + exact.reduce(0, +)
                #expect((Double(sum) - total).magnitude <= 2e-6 * total)
                for (value, exact) in zip(y.values, exact) { #expect((Double(value) - exact).magnitude <= 1e-6) }
                #expect(y.isIntact)
            }
        }
    }

    @Test("a step that does not raise the maximum corrects by exactly 1", arguments: KernelSet.available)
    func noRise(set: KernelSet) {
        let x = Fenced<Float>([-1, -2, 0])
        let step = Self.step(set, x, maximum: 0, sum: 1)
        #expect(step.correction == 1 && step.sum == 2.75 && x.values == [0.5, 0.25, 1])
    }

    @Test("rows of a tile do not see each other, and one without scores stays as it is", arguments: KernelSet.available)
    func rows(set: KernelSet) {
        var random = SeededGenerator(seed: 11)
        let lengths: [Int64] = [40, 0, 1, 16, 512, 7, 0, 33, 8, 100, 15, 31]
        let x = lengths.map { random.floats(Int($0)).map { 5 * $0 } }
        let together = x.map { Fenced($0) }
        var maxima = x.indices.map { $0 % 3 == 0 ? -1e30 : Float($0) / 4 }, sums = maxima.map { $0 < 0 ? 0 : $0 + 1 }
        let (startMaxima, startSums) = (maxima, sums)
        var corrections = [Float](repeating: .nan, count: x.count)
        set.functions.online_softmax(
            Int64(x.count), lengths, together.map { $0.pointer }, &maxima, &sums, &corrections)
        for r in x.indices {
            let alone = Fenced(x[r])
            let step = Self.step(set, alone, maximum: startMaxima[r], sum: startSums[r])
            #expect(together[r].values == alone.values && together[r].isIntact)
            #expect(maxima[r] == step.maximum && sums[r] == step.sum && corrections[r] == step.correction)
            guard lengths[r] == 0 else { continue }
            #expect(maxima[r] == startMaxima[r] && sums[r] == startSums[r] && corrections[r] == 1)
        }
    }
}
