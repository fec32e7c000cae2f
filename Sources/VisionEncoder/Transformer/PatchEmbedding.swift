import NeuralNetwork
package import Tensors

/// Turns an image into the tokens a vision transformer reads: patches, a class token in front, learned positions added.
public struct PatchEmbedding: Sendable {
    let convolution: Convolution2D
    /// `[D]`, or nil for a tower without a class token.
    let classEmbedding: Tensor?
    /// `[N (+ 1), D]` on the grid of the configuration.
    let positionEmbedding: Tensor
    /// The grid that the patches' positions were learned on.
    let positionGrid: PatchGrid

    /// Pixel values `[3, H, W]` -> tokens `[N (+ 1), D]`, patches row-major.
    ///
    /// An image of another size than the tower was trained on gets positions interpolated to its own grid; rows and
    /// columns of pixels that make no whole patch are not seen.
    func callAsFunction(_ pixelValues: Tensor) -> Tensor {
        let patches = convolution(pixelValues.channelsLast)  // [Ho, Wo, D]
        let grid = PatchGrid(height: patches.shape[0], width: patches.shape[1])
        let size = convolution.geometry.filters
        let tokens = patches.reshaped(to: [grid.count, size])
        guard let classEmbedding else { return tokens + positions(on: grid) }
        return Tensor.concatenatingRows([classEmbedding.reshaped(to: [1, size]), tokens]) + positions(on: grid)
    }

    /// The learned positions on a grid, `[N (+ 1), D]`: the class token's as it is, the patches' bicubically resampled.
    ///
    /// Source: `interpolate_pos_encoding` of Hugging Face's DINOv2, in the form that gives the target size; the form of
    /// transformers before 4.45, which scales by (n + 0.1) / N instead, samples at slightly other places.
    func positions(on grid: PatchGrid) -> Tensor {
        if grid == positionGrid { return positionEmbedding }
        let first = positionEmbedding.rows - positionGrid.count
        let patches = positionEmbedding[first..<positionEmbedding.rows]
        let resampled = bicubicallyResampled(patches, from: positionGrid, to: grid)
        return first == 0 ? resampled : Tensor.concatenatingRows([positionEmbedding[0..<first], resampled])
    }
}

extension Tensor {
    /// A `[C, H, W]` image as `[H, W, C]`.
    package var channelsLast: Tensor {
        precondition(rank == 3, "an image [C, H, W] wanted, shape is \(shape)")
        let (channels, pixels) = (shape[0], shape[1] * shape[2])
        return reshaped(to: [channels, pixels]).transposed.reshaped(to: [shape[1], shape[2], channels])
    }
}
