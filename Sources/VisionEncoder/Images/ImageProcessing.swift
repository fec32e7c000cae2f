public import Tensors

/// How a model of the LLaVA family fits a picture into its vision tower, chosen by `image_aspect_ratio`.
public enum ImageProcessing: Sendable, Equatable {
    /// The middle of the picture, whose ends are lost.
    case square
    /// The picture on a square of the processor's mean colour.
    case pad
    /// The whole picture, and tiles of it at the best of these resolutions.
    case anyResolution(pinpoints: [ImageSize])

    /// The picture as the tower takes it.
    /// - Throws: `ImageError` if an intermediate picture would be too large, or if the processor does not make the
    ///   square tiles that `anyResolution` cuts.
    public func callAsFunction(_ image: RGBImage, with processor: CLIPImageProcessor) throws -> ProcessedImage {
        let views: [RGBImage]
        var grid = ImageSize(width: 1, height: 1)
        switch self {
        case .square:
            views = [image]
        case .pad:
            views = [try image.paddedToSquare(processor.padColor)]
        case .anyResolution(let pinpoints):
            let choice = try AnyResolution(pinpoints: pinpoints, tileSide: try processor.tileSide())
            views = choice.views(of: image)
            grid = choice.grid(for: image.size)
        }
        let cropped = try views.map(processor.cropped)
        return ProcessedImage(
            pixelValues: processor.values(ofCropped: cropped), originalSize: image.size, mode: self, grid: grid)
    }
}

/// A picture ready for the vision tower.
public struct ProcessedImage: Sendable {
    /// float32 [views, 3, height, width]: one view, or for `anyResolution` the whole picture and then its tiles row by
    /// row.
    public let pixelValues: Tensor
    /// Width and height before processing.
    public let originalSize: ImageSize
    /// How it was processed.
    public let mode: ImageProcessing
    /// Tiles across and down; 1 x 1 without tiles.
    public let grid: ImageSize

    /// Pixel values that were processed elsewhere, `[views, 3, side, side]`.
    public init(pixelValues: Tensor, originalSize: ImageSize, mode: ImageProcessing, grid: ImageSize) {
        self.pixelValues = pixelValues
        self.originalSize = originalSize
        self.mode = mode
        self.grid = grid
    }
}

extension CLIPImageProcessor {
    /// The side of the tiles that this processor leaves as they are.
    func tileSide() throws -> Int {
        guard case .shortestEdge(let side) = size, cropSize == ImageSize(width: side, height: side) else {
            throw ImageError.configuration(
                file: "preprocessor_config.json", key: "size and crop_size",
                expected: "one shortest edge and a square crop of the same size, to cut tiles (anyres)",
                got: "\(size) and \(cropSize)")
        }
        return side
    }
}
