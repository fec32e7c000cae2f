public import Tensors

/// A table of vectors, one for each token.
public struct Embedding: Sendable {
    /// `[V, D]`, in the type the checkpoint stores.
    public let weight: Tensor

    /// Reads `weight`, `[count, size]`, under the reader's prefix.
    public init(_ weights: WeightReader, count: Int, size: Int) {
        weight = weights.matrix("weight", [count, size])
    }

    /// The vectors of the given tokens, `[ids.count, D]`; every id must be in `0..<V`.
    public func callAsFunction(_ ids: [Int]) -> Tensor {
        weight.gatheredRows(ids)
    }
}
