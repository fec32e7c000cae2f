/// A picture of 8-bit RGB pixels.
public struct RGBImage: Sendable, Equatable {
    /// Most pixels that are decoded or made on the way to a model: Pillow's limit against decompression bombs.
    public static let pixelLimit = 178_956_970
    /// Most bytes of a file that is decoded.
    public static let byteLimit = 1 << 29
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

    /// Width and height.
    public var size: ImageSize { ImageSize(width: width, height: height) }

    /// The picture on a canvas of one colour, its upper left corner at column `x`, row `y`; it must lie inside.
    public func placed(on color: RGBColor, in canvas: ImageSize, x: Int, y: Int) -> RGBImage {
        let (right, below) = (canvas.width - width - x, canvas.height - height - y)
        precondition(x >= 0 && y >= 0 && right >= 0 && below >= 0, "\(size) at \(x), \(y) of \(canvas)")
        func pixels(_ count: Int) -> [UInt8] {
            (0..<count).flatMap { _ in [color.red, color.green, color.blue] }
        }
        let (blank, left, rest) = (pixels(canvas.width), pixels(x), pixels(right))
        var placed: [UInt8] = []
        placed.reserveCapacity(canvas.area * 3)
        for _ in 0..<y { placed += blank }
        for row in 0..<height {
            placed += left
            placed += self.pixels[row * width * 3..<(row + 1) * width * 3]
            placed += rest
        }
        for _ in 0..<below { placed += blank }
        return RGBImage(width: canvas.width, height: canvas.height, pixels: placed)
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
