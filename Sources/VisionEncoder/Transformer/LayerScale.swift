import NeuralNetwork
import Tensors

/// A learned factor for each channel of a residual branch (CaiT, arXiv 2103.17239, section 2.1).
struct LayerScale: Sendable {
    /// `[D]` float32.
    let lambda1: Tensor

    /// Reads `lambda1`, `[size]`, under the reader's prefix.
    init(_ weights: WeightReader, size: Int) { lambda1 = weights.vector("lambda1", size) }

    /// `[..., D]` -> `[..., D]`.
    func callAsFunction(_ x: Tensor) -> Tensor { x.scaledColumns(by: lambda1) }
}
