import CKernels
import Foundation
import TestSupport
import Testing

@Suite("Normalisation")
struct NormTests {
    static let sizes = Array(1...40) + [64, 127, 1024, 1152]

    @Test("layer normalisation agrees with double precision", arguments: KernelSet.available)
    func layerNorm(set: KernelSet) {
        var random = SeededGenerator(seed: 11)
        for n in Self.sizes {
            let x = random.floats(n), weight = random.floats(n), bias = random.floats(n)
            let input = Fenced(x), w = Fenced(weight), b = Fenced(bias)
            let y = Fenced([Float](repeating: untouched, count: n))
            set.functions.layer_norm(Int64(n), input.pointer, w.pointer, b.pointer, 1e-5, y.pointer)

            let mean = x.reduce(0) { $0 + Double($1) } / Double(n)
            let variance = x.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(n)
            for i in 0..<n {
                let exact =
                    (Double(x[i]) - mean) / (variance + Double(Float(1e-5))).squareRoot()
                    * Double(weight[i]) + Double(bias[i])
                // The mean of n values in -1...1 is off by up to n 2^-24 in the sequential sum and the scale is at
                // most 1/sqrt(1e-5) where n = 1; values of this size then differ by a few 1e-5 at the very worst.
                #expect((Double(y.values[i]) - exact).magnitude <= 2e-5, "n = \(n)")
            }
            #expect(y.isIntact)
            set.functions.layer_norm(Int64(n), input.pointer, w.pointer, b.pointer, 1e-5, input.pointer)
            #expect(input.values == y.values)
        }
    }

    @Test(
        "the variance is of differences from the mean, so a large offset does no harm", arguments: KernelSet.available)
    func offset(set: KernelSet) {
        // Exact in float32: the sum of squares of such values would lose every digit of their variance of 0.25.
        let x = (0..<64).map { Float(4096) + ($0 % 2 == 0 ? 0.5 : -0.5) }
        let input = Fenced(x), w = Fenced([Float](repeating: 1, count: 64)),
            b = Fenced([Float](repeating: 0, count: 64))
        set.functions.layer_norm(64, input.pointer, w.pointer, b.pointer, 0, input.pointer)
        #expect(input.values == (0..<64).map { $0 % 2 == 0 ? 1 : -1 })
    }

    @Test("root-mean-square normalisation agrees with double precision", arguments: KernelSet.available)
    func rmsNorm(set: KernelSet) {
        var random = SeededGenerator(seed: 12)
        for n in Self.sizes {
            let x = random.floats(n), weight = random.floats(n)
            let input = Fenced(x), w = Fenced(weight), y = Fenced([Float](repeating: untouched, count: n))
            set.functions.rms_norm(Int64(n), input.pointer, w.pointer, 1e-6, y.pointer)
            let square = x.reduce(0) { $0 + Double($1) * Double($1) } / Double(n)
            for i in 0..<n {
                let exact = Double(x[i]) / (square + Double(Float(1e-6))).squareRoot() * Double(weight[i])
                // A sum of n positive terms is relatively within n 2^-24 (7e-5 / 2 at 1152, a bound never met).
                #expect((Double(y.values[i]) - exact).magnitude <= 5e-6 * max(1, exact.magnitude), "n = \(n)")
            }
            #expect(y.isIntact)
            set.functions.rms_norm(Int64(n), input.pointer, w.pointer, 1e-6, input.pointer)
            #expect(input.values == y.values)
        }
    }
}
