public import Tensors

/// Layer normalisation over the last dimension (arXiv 1607.06450).
public struct LayerNorm: Sendable {
    /// `[D]` float32.
    public let weight: Tensor
    /// `[D]` float32.
    public let bias: Tensor
    let epsilon: Float

    /// Reads `weight` and `bias`, `[size]` each, under the reader's prefix.
    public init(_ weights: WeightReader, size: Int, epsilon: Float) {
        weight = weights.vector("weight", size)
        bias = weights.vector("bias", size)
        self.epsilon = epsilon
    }

    /// `[..., D]` -> `[..., D]`.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        layerNorm(x, weight: weight, bias: bias, epsilon: epsilon)
    }
}

/// Root-mean-square normalisation over the last dimension (arXiv 1910.07467).
public struct RMSNorm: Sendable {
    let weight: Tensor
    let epsilon: Float

    /// Reads `weight`, `[size]`, under the reader's prefix.
    public init(_ weights: WeightReader, size: Int, epsilon: Float) {
        weight = weights.vector("weight", size)
        self.epsilon = epsilon
    }

    /// `[..., D]` -> `[..., D]`.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        rmsNorm(x, weight: weight, epsilon: epsilon)
    }
}
