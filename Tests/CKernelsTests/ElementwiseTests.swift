import CKernels
import TestSupport
import Testing

@Suite("Elementwise kernels")
struct ElementwiseTests {
    @Test(
        "sums and products are exact on integers, end where they should, and work in place",
        arguments: KernelSet.available)
    func integers(set: KernelSet) {
        var random = SeededGenerator(seed: 13)
        for n in Array(0...40) + [100, 1000] {
            let a = random.integers(n), b = random.integers(n)
            func check(
                _ expected: [Float],
                _ run: (UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void
            ) {
                let x = Fenced(a), z = Fenced(b), y = Fenced([Float](repeating: untouched, count: n))
                run(x.pointer, z.pointer, y.pointer)
                #expect(y.values == expected && y.isIntact, "n = \(n)")
                run(x.pointer, z.pointer, x.pointer)
                #expect(x.values == expected && x.isIntact, "n = \(n), in place")
            }
            check(zip(a, b).map { $0 - 2.5 * $1 }) { set.functions.add_scaled(Int64(n), $0, -2.5, $1, $2) }
            check(a.map { 0.75 * $0 }) { x, _, y in set.functions.scale(Int64(n), 0.75, x, y) }
            check(zip(a, b).map { $0 * $1 }) { set.functions.multiply(Int64(n), $0, $1, $2) }
        }
    }

    @Test("rotary embedding turns the pairs (j, j + d/2)", arguments: KernelSet.available)
    func rotation(set: KernelSet) {
        var random = SeededGenerator(seed: 14)
        for size in [2, 4, 8, 14, 16, 30, 32, 34, 64, 80, 96, 128] {
            let half = size / 2
            let x = random.floats(size), angles = random.floats(half)
            let cosine = angles.map { (1 - $0 * $0).squareRoot() }
            let input = Fenced(x), c = Fenced(cosine), s = Fenced(angles)
            let y = Fenced([Float](repeating: untouched, count: size))
            set.functions.rotate_half(Int64(size), input.pointer, c.pointer, s.pointer, y.pointer)
            for j in 0..<half {
                let (a, b) = (Double(x[j]), Double(x[j + half])), (c, s) = (Double(cosine[j]), Double(angles[j]))
                // Two products and a sum of values at most 1: three roundings of 2^-24.
                #expect((Double(y.values[j]) - (a * c - b * s)).magnitude <= 2e-7)
                #expect((Double(y.values[j + half]) - (b * c + a * s)).magnitude <= 2e-7)
            }
            #expect(y.isIntact)
            set.functions.rotate_half(Int64(size), input.pointer, c.pointer, s.pointer, input.pointer)
            #expect(input.values == y.values)
        }
    }
}
