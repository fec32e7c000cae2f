import Foundation
public import Tensors

/// Rotary position embedding: the angles by which queries and keys are turned (RoFormer, arXiv 2104.09864).
public struct RotaryEmbedding: Sendable {
    /// Angle per position of each pair, `headSize / 2` values.
    let inverseFrequencies: [Float]
    /// Divisor of positions (linear scaling); 1 for none.
    let scalingFactor: Float

    /// Frequencies theta^(-2j/d) for heads of size d.
    public init(headSize: Int, theta: Float, scalingFactor: Float = 1) {
        inverseFrequencies = (0..<headSize / 2).map { 1 / powf(theta, Float(2 * $0) / Float(headSize)) }
        self.scalingFactor = scalingFactor
    }

    /// The rotations of tokens at the given positions.
    public func callAsFunction(_ positions: [Int]) -> Rotations {
        let half = inverseFrequencies.count
        var angles: [Float] = []
        angles.reserveCapacity(positions.count * half)
        for position in positions {
            let scaled = Float(position) / scalingFactor
            for frequency in inverseFrequencies { angles.append(scaled * frequency) }
        }
        return Rotations(
            cosine: Tensor(angles.map(cosf), shape: [positions.count, half]),
            sine: Tensor(angles.map(sinf), shape: [positions.count, half]))
    }
}

/// Cosines and sines of the angles of a sequence of tokens, `[T, d/2]` each.
public struct Rotations: Sendable {
    let cosine: Tensor
    let sine: Tensor

    /// Queries or keys `[T, heads · d]`, turned.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        rotated(x, cosine: cosine, sine: sine)
    }

    /// The rotations of some of the tokens, in the given order.
    public func gathered(_ tokens: [Int]) -> Rotations {
        Rotations(cosine: cosine.gatheredRows(tokens), sine: sine.gatheredRows(tokens))
    }
}
