import NeuralNetwork
package import Tensors

/// Turns images into the tokens a vision transformer reads: patches, perhaps a class token in front, learned positions
/// added.
public struct PatchEmbedding: Sendable {
    /// Convolutions before the patches' own; nil for a tower that cuts its patches from the picture.
    var stem: ConvolutionStem?
    let convolution: Convolution2D
    /// `[D]`, or nil for a tower without a class token.
    let classEmbedding: Tensor?
    /// `[N (+ 1), D]` on the grid of the configuration.
    let positionEmbedding: Tensor
    /// The grid that the patches' positions were learned on.
    let positionGrid: PatchGrid

    /// Pixel values `[B, 3, H, W]` -> tokens `[B, N (+ 1), D]`, patches row-major.
    ///
    /// Images of another size than the tower was trained on get positions interpolated to their own grid; rows and
    /// columns of pixels that make no whole patch are not seen.
    func callAsFunction(_ pixelValues: Tensor) -> Tensor {
        let images = pixelValues.shape[0]
        let pixels = pixelValues.channelsLast  // [B, H, W, 3]
        let patches = convolution(stem?(pixels) ?? pixels)  // [B, Ho, Wo, D]
        let grid = PatchGrid(height: patches.shape[1], width: patches.shape[2])
        let size = convolution.geometry.filters
        var tokens = patches.reshaped(to: [images * grid.count, size])
        if let classEmbedding {
            let first = classEmbedding.reshaped(to: [1, size])
            tokens = Tensor.concatenatingRows(
                (0..<images).flatMap { [first, tokens[$0 * grid.count..<($0 + 1) * grid.count]] })
        }
        var positions = positions(on: grid)
        let perImage = positions.rows
        if images > 1 { positions = positions.gatheredRows((0..<images * perImage).map { $0 % perImage }) }
        return (tokens + positions).reshaped(to: [images, perImage, size])
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
    /// Images `[B, C, H, W]` as `[B, H, W, C]`.
    package var channelsLast: Tensor {
        precondition(rank == 4, "images [B, C, H, W] wanted, shape is \(shape)")
        let (images, channels, pixels) = (shape[0], shape[1], shape[2] * shape[3])
        let planes = (0..<images).map { self[$0].reshaped(to: [channels, pixels]).transposed }
        return Tensor.concatenatingRows(planes).reshaped(to: [images, shape[2], shape[3], channels])
    }
}
