import Tensors
import VisionEncoder

/// The pixels a vision tower is given, turned back into a picture.
enum SeenPicture {
    /// Space between the views of one image, in pixels.
    private static let gap = 8

    /// The views of a processed image: the first one alone, or beside it the tiles in their grid.
    static func picture(of image: ProcessedImage, processor: CLIPImageProcessor) -> RGBImage {
        let views = (0..<image.pixelValues.shape[0]).map { view(image.pixelValues[$0], processor) }
        guard views.count > 1 else { return views[0] }
        let side = views[0].width
        let (columns, rows) = (image.grid.width, image.grid.height)
        let width = side + columns * (side + gap)
        let height = max(side, rows * (side + gap) - gap)
        var canvas = [UInt8](repeating: 0, count: width * height * 3)
        func paste(_ view: RGBImage, x: Int, y: Int) {
            for row in 0..<side {
                let start = ((y + row) * width + x) * 3
                canvas.replaceSubrange(
                    start..<start + side * 3, with: view.pixels[row * side * 3..<(row + 1) * side * 3])
            }
        }
        paste(views[0], x: 0, y: 0)
        for (index, tile) in views.dropFirst().enumerated() {
            paste(tile, x: side + gap + index % columns * (side + gap), y: index / columns * (side + gap))
        }
        return RGBImage(width: width, height: height, pixels: canvas)
    }

    /// Pixel values `[3, S, S]` with scale, mean and deviation taken back.
    static func view(_ pixels: Tensor, _ processor: CLIPImageProcessor) -> RGBImage {
        let (height, width, values) = (pixels.shape[1], pixels.shape[2], pixels.floats)
        var bytes = [UInt8](repeating: 0, count: height * width * 3)
        for channel in 0..<3 {
            let mean = processor.doNormalize ? processor.imageMean[channel] : 0
            let deviation = processor.doNormalize ? processor.imageStd[channel] : 1
            let scale = processor.doRescale ? processor.rescaleFactor : 1
            for index in 0..<height * width {
                let value = (Double(values[channel * height * width + index]) * deviation + mean) / scale
                bytes[index * 3 + channel] = UInt8(min(max(value.rounded(), 0), 255))
            }
        }
        return RGBImage(width: width, height: height, pixels: bytes)
    }
}
