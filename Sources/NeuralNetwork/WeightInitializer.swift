import Foundation
public import Tensors

/// Draws the weights of layers that are to be trained: the same seed and the same calls give the same weights.
public struct WeightInitializer {
    private var state: UInt64

    /// A generator of its own.
    public init(seed: UInt64) { state = seed }

    /// Values of a normal distribution around 0; beyond two (for timm's `trunc_normal_`, whose bounds are absolute,
    /// practically never) they are drawn again.
    public mutating func normal(_ shape: [Int], deviation: Float) -> Tensor {
        fill(shape) { generator in
            while true {
                // Box and Muller; the first uniform value is never 0.
                let radius = (-2 * log(1 - generator.uniform())).squareRoot()
                let value = Float(radius * cos(2 * Double.pi * generator.uniform())) * deviation
                if abs(value) <= 2 { return value }
            }
        }
    }

    /// Values spread evenly over -bound...bound.
    public mutating func uniform(_ shape: [Int], bound: Float) -> Tensor {
        fill(shape) { Float(2 * $0.uniform() - 1) * bound }
    }

    /// Glorot's uniform distribution for a matrix `[out, in]`: variance 2 / (in + out).
    public mutating func xavierUniform(_ shape: [Int]) -> Tensor {
        uniform(shape, bound: (6 / Float(shape[0] + shape[1])).squareRoot())
    }

    private mutating func fill(_ shape: [Int], _ draw: (inout WeightInitializer) -> Float) -> Tensor {
        Tensor(shape: shape) { values in
            for index in values.indices { values[index] = draw(&self) }
        }
    }

    /// A number in 0..<1 with 53 random bits.
    private mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
