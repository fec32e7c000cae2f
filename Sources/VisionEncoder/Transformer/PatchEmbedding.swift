package import Tensors

/// Turns an image into the tokens a vision transformer reads: patches, a class token in front, learned positions added.
public struct PatchEmbedding: Sendable {
    let convolution: Convolution2D
    /// `[D]`, or nil for a tower without a class token.
    let classEmbedding: Tensor?
    /// `[N (+ 1), D]`.
    let positionEmbedding: Tensor

    /// Pixel values `[3, H, W]` -> tokens `[N (+ 1), D]`, patches row-major.
    func callAsFunction(_ pixelValues: Tensor) -> Tensor {
        let patches = convolution(pixelValues.channelsLast)  // [Ho, Wo, D]
        let size = convolution.geometry.filters
        let tokens = patches.reshaped(to: [patches.count / size, size])
        guard let classEmbedding else { return tokens + positionEmbedding }
        return Tensor.concatenatingRows([classEmbedding.reshaped(to: [1, size]), tokens]) + positionEmbedding
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
