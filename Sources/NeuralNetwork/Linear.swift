public import Tensors

/// The affine map y = x wᵀ + b.
public struct Linear: Sendable {
    /// `[out, in]`, in the type the checkpoint stores.
    public let weight: Tensor
    /// `[out]` float32, or nil.
    public let bias: Tensor?

    /// A map with the given weight `[out, in]` and bias `[out]`.
    public init(weight: Tensor, bias: Tensor? = nil) {
        self.weight = weight
        self.bias = bias
    }

    /// Reads `weight` and, if `hasBias`, `bias` under the reader's prefix.
    public init(_ weights: WeightReader, inputs: Int, outputs: Int, hasBias: Bool) {
        weight = weights.matrix("weight", [outputs, inputs])
        bias = hasBias ? weights.vector("bias", outputs) : nil
    }

    /// activation(x wᵀ + b), `[..., in]` -> `[..., out]`.
    /// - Parameter isRowInvariant: whether a row's bytes must be the same however many rows there are.
    public func callAsFunction(
        _ x: Tensor, activation: Activation = .identity, isRowInvariant: Bool = false
    ) -> Tensor {
        product(x, weight, bias: bias, activation: activation, isRowInvariant: isRowInvariant)
    }
}
