import CKernels
import Foundation
import TestSupport
import Testing

/// The activations, named for test titles.
enum Activation: CaseIterable, Sendable {
    case identity, gelu, quickGELU, silu

    var code: vlm_activation {
        switch self {
        case .identity: VLM_IDENTITY
        case .gelu: VLM_GELU
        case .quickGELU: VLM_QUICK_GELU
        case .silu: VLM_SILU
        }
    }

    func exact(_ x: Double) -> Double {
        switch self {
        case .identity: x
        case .gelu: 0.5 * x * erfc(-x / 2.0.squareRoot())
        case .quickGELU: x / (1 + exp(-1.702 * x))
        case .silu: x / (1 + exp(-x))
        }
    }

    /// 2e-7 absolute, which is the accuracy asked of erf and three roundings of a value near 1; relative where x is
    /// larger. The slope 1.702 is rounded to float32 and multiplied by x, a few 2^-24 of an exponent up to ~20.
    func bound(_ x: Double) -> Double { 2e-7 * max(1, x.magnitude) }
}

@Suite("Activations")
struct ActivationTests {
    @Test("an activation agrees with double precision", arguments: KernelSet.available, Activation.allCases)
    func sweep(set: KernelSet, activation: Activation) {
        let tiny = (0..<60).map { Float(sign: .plus, exponent: -$0, significand: 1.37) }
        let x = Array(stride(from: Float(-30), through: 30, by: 0.0037)) + tiny + tiny.map { -$0 }
        let input = Fenced(x), y = Fenced([Float](repeating: untouched, count: x.count))
        set.functions.activate(activation.code, Int64(x.count), input.pointer, y.pointer)
        for (x, y) in zip(x, y.values) {
            let error = (Double(y) - activation.exact(Double(x))).magnitude
            #expect(error <= activation.bound(Double(x)), "at \(x): \(y)")
        }
    }

    @Test("an activation of a large value is the value or zero, and finite", arguments: KernelSet.available)
    func large(set: KernelSet) {
        for activation in Activation.allCases where activation != .identity {
            for magnitude: Float in [50, 87, 88, 89, 100, 104, 150, 300, 1e3, 5e3, 1e4] {
                let x = Fenced([magnitude, -magnitude]), y = Fenced<Float>([untouched, untouched])
                set.functions.activate(activation.code, 2, x.pointer, y.pointer)
                #expect(y.values[0] == magnitude)
                #expect(y.values[1].magnitude <= 1e-19, "\(activation) at \(-magnitude)")
            }
        }
    }

    @Test("the negative tail of GELU falls off as it should", arguments: KernelSet.available.filter(\.isFused))
    func geluTail(set: KernelSet) {
        // The fit is of the exponent, so the tail has no rounding noise; its stated relative error is 2e-4 down to -4
        // and 4 % at -6, where GELU is 6e-9.
        for x in stride(from: Float(-6), through: -1, by: 0.01) {
            let input = Fenced([x]), y = Fenced([untouched])
            set.functions.activate(VLM_GELU, 1, input.pointer, y.pointer)
            let exact = Activation.gelu.exact(Double(x))
            #expect((Double(y.values[0]) / exact - 1).magnitude < (x >= -4 ? 2.5e-4 : 5e-2), "at \(x)")
        }
    }

    @Test(
        "activations and the gated product end where they should, and may work in place", arguments: KernelSet.available
    )
    func tails(set: KernelSet) {
        var random = SeededGenerator(seed: 7)
        for n in 1...40 {
            let x = random.floats(n).map { 8 * $0 }, up = random.floats(n)
            for activation in Activation.allCases {
                let y = Fenced(x)
                set.functions.activate(activation.code, Int64(n), y.pointer, y.pointer)
                for (x, y) in zip(x, y.values) {
                    #expect((Double(y) - activation.exact(Double(x))).magnitude <= activation.bound(Double(x)))
                }
                #expect(y.isIntact)
            }
            let gate = Fenced(x), factor = Fenced(up), y = Fenced([Float](repeating: untouched, count: n))
            set.functions.silu_gate(Int64(n), gate.pointer, factor.pointer, y.pointer)
            for i in 0..<n {
                let exact = Activation.silu.exact(Double(x[i])) * Double(up[i])
                #expect((Double(y.values[i]) - exact).magnitude <= 2 * Activation.silu.bound(Double(x[i])))
            }
            let expected = y.values
            set.functions.silu_gate(Int64(n), gate.pointer, factor.pointer, factor.pointer)
            #expect(factor.values == expected && y.isIntact)
        }
    }

    @Test(
        "the epilogue adds the bias, activates, multiplies, and leaves the rest of the rows alone",
        arguments: KernelSet.available)
    func finishes(set: KernelSet) {
        var random = SeededGenerator(seed: 8)
        for rows in [1, 2, 5] {
            for columns in 1...35 {
                for activation in Activation.allCases {
                    for (hasBias, hasFactor, hasResidual, isInPlace) in [
                        (false, false, false, true), (true, false, false, true), (true, false, true, false),
                        (false, true, false, false), (false, true, true, true),
                    ] {
                        let ldc = columns + 2, bias = random.floats(columns)
                        let ldr = columns + 1, residual = random.floats((rows - 1) * ldr + columns)
                        let factors = random.floats((rows - 1) * ldr + columns), f = Fenced(factors)
                        var start = random.floats((rows - 1) * ldc + columns).map { 4 * $0 }
                        for i in start.indices where i % ldc >= columns { start[i] = untouched }
                        let c = Fenced(start), b = Fenced(bias), r = Fenced(residual)
                        let tile = Fenced((0..<rows).flatMap { start[$0 * ldc..<$0 * ldc + columns] })
                        var after = epilogue(bias: hasBias ? UnsafePointer(b.pointer) : nil, activation.code)
                        after.ldr = Int64(ldr)
                        if hasFactor { after.factor = UnsafePointer(f.pointer) }
                        if hasResidual { after.residual = UnsafePointer(r.pointer) }
                        set.functions.finish_tile(
                            Int64(rows), Int64(columns), isInPlace ? c.pointer : tile.pointer,
                            Int64(isInPlace ? ldc : columns), &after, c.pointer, Int64(ldc))
                        for (i, value) in c.values.enumerated() {
                            if i % ldc >= columns {
                                #expect(value == untouched)
                            } else {
                                let x = start[i] + (hasBias ? bias[i % ldc] : 0)
                                let at = i / ldc * ldr + i % ldc
                                let factor = hasFactor ? Double(factors[at]) : 1
                                let scaled = activation.exact(Double(x)) * factor
                                let exact = scaled + (hasResidual ? Double(residual[at]) : 0)
                                // The product and the sum with the residual are rounded as well.
                                let bound =
                                    activation.bound(Double(x)) * factor.magnitude
                                    + (hasFactor ? scaled.magnitude * 0x1p-24 : 0)
                                    + (hasResidual ? exact.magnitude * 0x1.01p-24 : 0) + 0x1p-140
                                #expect((Double(value) - exact).magnitude <= bound)
                            }
                        }
                        #expect(c.isIntact && tile.isIntact && f.isIntact && r.isIntact)
                    }
                }
            }
        }
    }
}
