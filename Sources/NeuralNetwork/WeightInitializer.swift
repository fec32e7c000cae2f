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
        Tensor(shape: shape) { values in
            // Each takes one step of the generator, so that every worker can begin where its rows do.
            let (start, elements) = (self, values.baseAddress)
            ComputeContext.current.forEachRows(values.count, columns: 1) { range in
                var generator = start.skipping(range.lowerBound)
                for index in range { elements?[index] = Float(2 * generator.uniform() - 1) * bound }
            }
            self = skipping(values.count)
        }
    }

    /// Glorot's uniform distribution for a matrix `[out, in]`: variance 2 / (in + out).
    public mutating func xavierUniform(_ shape: [Int]) -> Tensor {
        uniform(shape, bound: (6 / Float(shape[0] + shape[1])).squareRoot())
    }

    /// A weight by its name and shape, as such layers usually start: filters by He's normal distribution, tables of
    /// embeddings normal with deviation 0.02, matrices uniform within (inputs)^-½ like PyTorch's `Linear`, routers of a
    /// mixture of depths at 0, norms and variances at 1, biases and means at 0.
    mutating func weight(named name: String, _ shape: [Int]) -> Tensor {
        let last = name.split(separator: ".").last.map(String.init) ?? name
        switch shape.count {
        case 0, 1:
            let isZero = last == "bias" || last == "running_mean"
            return Tensor(repeating: isZero ? 0 : 1, shape: shape)
        case 2 where name.hasSuffix("router.weight"): return Tensor(repeating: 0, shape: shape)
        case 2 where name.contains("embed"): return normal(shape, deviation: 0.02)
        case 2: return uniform(shape, bound: 1 / Float(shape[1]).squareRoot())
        default:
            let inputs = shape.dropFirst().reduce(1, *)
            return normal(shape, deviation: (2 / Float(inputs)).squareRoot())
        }
    }

    private mutating func fill(_ shape: [Int], _ draw: (inout WeightInitializer) -> Float) -> Tensor {
        Tensor(shape: shape) { values in
            for index in values.indices { values[index] = draw(&self) }
        }
    }

    /// A number in 0..<1 with 53 random bits.
    private mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// The generator after `count` more numbers: each step adds the same to its state.
    private func skipping(_ count: Int) -> WeightInitializer {
        WeightInitializer(seed: state &+ UInt64(count) &* Self.increment)
    }

    private static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

    /// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    private mutating func next() -> UInt64 {
        state &+= Self.increment
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
