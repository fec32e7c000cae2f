/// A picture of 8-bit RGB pixels.
public struct RGBImage: Sendable, Equatable {
    /// Most pixels that are decoded or made on the way to a model: Pillow's limit against decompression bombs.
    public static let pixelLimit = 178_956_970
    /// Longest side that is decoded.
    public static let sideLimit = 65_535

    /// Extent from left to right in pixels, at least 1.
    public let width: Int
    /// Extent from top to bottom in pixels, at least 1.
    public let height: Int
    /// [height, width, 3], contiguous.
    public let pixels: [UInt8]

    /// A picture over pixels [height, width, 3].
    public init(width: Int, height: Int, pixels: [UInt8]) {
        precondition(width > 0 && height > 0, "\(width) x \(height) pixels")
        precondition(pixels.count == width * height * 3, "\(pixels.count) bytes for \(width) x \(height) RGB pixels")
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// A picture of one colour.
    public init(width: Int, height: Int, filledWith color: RGBColor) {
        var row: [UInt8] = []
        for _ in 0..<width { row += [color.red, color.green, color.blue] }
        var pixels: [UInt8] = []
        pixels.reserveCapacity(row.count * height)
        for _ in 0..<height { pixels += row }
        self.init(width: width, height: height, pixels: pixels)
    }

    /// Width and height.
    public var size: ImageSize { ImageSize(width: width, height: height) }

    /// Copies `image` over this picture with its upper left corner at column `x`, row `y`; it must lie inside.
    public func pasting(_ image: RGBImage, x: Int, y: Int) -> RGBImage {
        precondition(x >= 0 && y >= 0 && x + image.width <= width && y + image.height <= height)
        var pixels = pixels
        for row in 0..<image.height {
            let target = ((y + row) * width + x) * 3
            let source = row * image.width * 3
            pixels.replaceSubrange(
                target..<target + image.width * 3, with: image.pixels[source..<source + image.width * 3])
        }
        return RGBImage(width: width, height: height, pixels: pixels)
    }
}

/// A colour of 8 bits a channel.
public struct RGBColor: Hashable, Sendable {
    /// Red, 0...255.
    public var red: UInt8
    /// Green, 0...255.
    public var green: UInt8
    /// Blue, 0...255.
    public var blue: UInt8

    /// A colour of its three parts.
    public init(red: UInt8, green: UInt8, blue: UInt8) {
        self.red = red
        self.green = green
        self.blue = blue
    }

    /// All parts 0.
    public static let black = RGBColor(red: 0, green: 0, blue: 0)
}
