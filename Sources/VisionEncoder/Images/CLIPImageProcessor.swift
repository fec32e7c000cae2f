public import Tensors

/// The steps from a picture to the pixel values of a CLIP-like vision tower, as transformers 4.36's
/// `CLIPImageProcessor`: resize, crop the middle, rescale, normalise.
public struct CLIPImageProcessor: Sendable, Equatable {
    /// What the picture is resized to.
    public enum Size: Sendable, Equatable {
        /// The shorter side becomes this; the longer one follows, rounded down.
        case shortestEdge(Int)
        /// This size, whatever the shape was.
        case exact(ImageSize)
    }

    /// Whether the picture is resized.
    public var doResize = true
    /// What it is resized to.
    public var size = Size.shortestEdge(224)
    /// Whether the middle is cut out.
    public var doCenterCrop = true
    /// The size of the middle.
    public var cropSize = ImageSize(width: 224, height: 224)
    /// Whether values are multiplied by `rescaleFactor`.
    public var doRescale = true
    /// By default 1/255 to the digits that configuration files give.
    public var rescaleFactor = 1 / 255.0
    /// Whether `imageMean` is subtracted and the rest divided by `imageStd`.
    public var doNormalize = true
    /// Mean of red, green and blue.
    public var imageMean = [0.481_454_66, 0.457_827_5, 0.408_210_73]
    /// Standard deviation of red, green and blue.
    public var imageStd = [0.268_629_54, 0.261_302_58, 0.275_777_11]

    /// CLIP's own steps at 224 pixels.
    public init() {}

    /// CLIP's own steps at another size.
    public static func clip(side: Int) -> CLIPImageProcessor {
        var processor = CLIPImageProcessor()
        processor.size = .shortestEdge(side)
        processor.cropSize = ImageSize(width: side, height: side)
        return processor
    }

    /// DINOv2's own steps at 224 pixels: the shorter side to 256, ImageNet's statistics.
    ///
    /// Source: `preprocessor_config.json` of facebook/dinov2-small, whose type is `BitImageProcessor`.
    public static var dinov2: CLIPImageProcessor {
        var processor = CLIPImageProcessor()
        processor.size = .shortestEdge(256)
        processor.imageMean = [0.485, 0.456, 0.406]
        processor.imageStd = [0.229, 0.224, 0.225]
        return processor
    }

    /// The colour that LLaVA pads with: 255 times the mean, rounded down.
    public var padColor: RGBColor {
        func channel(_ index: Int) -> UInt8 { UInt8(min(max(imageMean[index] * 255, 0), 255)) }
        return RGBColor(red: channel(0), green: channel(1), blue: channel(2))
    }
}

extension CLIPImageProcessor {
    /// The picture after resizing and cropping, still in bytes.
    ///
    /// Only the pixels of the crop are computed, so a picture of extreme shape costs no more than another.
    /// - Throws: `ImageError.intermediateTooLarge` if nothing is cropped and the result passes `RGBImage.pixelLimit`.
    public func cropped(_ image: RGBImage) throws -> RGBImage {
        let resized = resizedSize(of: image.size)
        guard doCenterCrop else {
            guard resized.area <= RGBImage.pixelLimit else {
                throw ImageError.intermediateTooLarge(step: "resizing", original: image.size, size: resized)
            }
            return image.resized(to: resized)
        }
        let crop = CenterCrop(cropSize, of: resized)
        let middle = image.resized(to: resized, keeping: crop.region)
        if middle.size == cropSize { return middle }
        return middle.placed(on: .black, in: cropSize, x: crop.x, y: crop.y)
    }

    /// The size that a picture of `original` is resized to before the crop.
    public func resizedSize(of original: ImageSize) -> ImageSize {
        guard doResize else { return original }
        switch size {
        case .exact(let size): return size
        case .shortestEdge(let short):
            // Python's int(short * long / shorter): one division in double, rounded down.
            func long(_ long: Int, _ shorter: Int) -> Int { Int(Double(short * long) / Double(shorter)) }
            return original.width <= original.height
                ? ImageSize(width: short, height: long(original.height, original.width))
                : ImageSize(width: long(original.width, original.height), height: short)
        }
    }

    /// The picture as the tower takes it: float32 [3, height, width].
    /// - Throws: `ImageError.intermediateTooLarge`, see `cropped`.
    public func pixelValues(of image: RGBImage) throws -> Tensor { try pixelValues(of: [image])[0] }

    /// Several pictures as the tower takes them: float32 [pictures, 3, height, width].
    /// - Throws: `ImageError.intermediateTooLarge`, see `cropped`.
    public func pixelValues(of images: [RGBImage]) throws -> Tensor { values(ofCropped: try images.map(cropped)) }

    /// Pictures of one size, already resized and cropped: float32 [pictures, 3, height, width].
    func values(ofCropped images: [RGBImage]) -> Tensor {
        let size = images[0].size
        let tables = (0..<3).map(valueTable)
        return Tensor(shape: [images.count, 3, size.height, size.width]) { output in
            var target = 0
            for image in images {
                precondition(image.size == size, "\(image.size) pixels beside \(size)")
                for channel in 0..<3 {
                    let table = tables[channel]
                    for source in stride(from: channel, to: image.pixels.count, by: 3) {
                        output[target] = table[Int(image.pixels[source])]
                        target += 1
                    }
                }
            }
        }
    }

    /// The value of each of the 256 bytes, rounded where numpy rounds: the product in double then to float32, the
    /// difference and the quotient in float32.
    private func valueTable(channel: Int) -> [Float] {
        (0..<256).map { byte in
            let scaled = doRescale ? Float(Double(byte) * rescaleFactor) : Float(byte)
            return doNormalize ? (scaled - Float(imageMean[channel])) / Float(imageStd[channel]) : scaled
        }
    }
}
