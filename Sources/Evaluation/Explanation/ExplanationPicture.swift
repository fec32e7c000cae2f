import NeuralNetwork
public import VisionEncoder

/// An explanation as one picture.
///
/// The picture as the model sees it lies beside the same with patches as bright as the answer depends on them; below are
/// the tokens of the answer one by one, and then the layers that skip visual tokens, patches as bright as they are kept.
public struct ExplanationPicture {
    private let explanation: Explanation

    /// A picture of an explanation.
    public init(_ explanation: Explanation) { self.explanation = explanation }

    private static let (width, columns, gap) = (336, 4, 12)

    /// The picture.
    public var image: RGBImage {
        let seen = explanation.picture
        let height = max(1, seen.height * Self.width / seen.width)
        let large = seen.resized(to: ImageSize(width: Self.width, height: height))
        // Two large pictures are as wide as a line of small ones.
        let smallWidth = (2 * Self.width + Self.gap - (Self.columns - 1) * Self.gap) / Self.columns
        let small = seen.resized(
            to: ImageSize(width: smallWidth, height: max(1, seen.height * smallWidth / seen.width)))
        let grid = explanation.grid
        var lines = [[large, large.lit(explanation.relevance.scaledToOne, on: grid)]]
        let tokens = explanation.tokens.map { small.lit($0.relevance.scaledToOne, on: grid) }
        let layers = explanation.layers.map { small.lit($0.share, on: grid) }
        for strip in [tokens.count > 1 ? tokens : [], layers] {
            lines += stride(from: 0, to: strip.count, by: Self.columns).map {
                Array(strip[$0..<min($0 + Self.columns, strip.count)])
            }
        }
        let size = ImageSize(
            width: 2 * Self.width + 3 * Self.gap,
            height: lines.reduce(Self.gap) { $0 + $1[0].height + Self.gap })
        var pixels = [UInt8](repeating: 255, count: size.area * 3)
        var y = Self.gap
        for line in lines {
            for (column, image) in line.enumerated() {
                let x = Self.gap + column * (image.width + Self.gap)
                for row in 0..<image.height {
                    let target = ((y + row) * size.width + x) * 3
                    pixels.replaceSubrange(
                        target..<target + image.width * 3,
                        with: image.pixels[row * image.width * 3..<(row + 1) * image.width * 3])
                }
            }
            y += line[0].height + Self.gap
        }
        return RGBImage(width: size.width, height: size.height, pixels: pixels)
    }
}

extension [Float] {
    /// The values divided by the largest; zeros stay zeros.
    var scaledToOne: [Float] {
        let largest = self.max() ?? 0
        return largest > 0 ? map { $0 / largest } : self
    }
}

extension RGBImage {
    /// What is left of the light where a value is 0.
    private static let dimmest: Float = 0.15

    /// The picture with each cell of a grid as bright as its value of 0...1.
    func lit(_ values: [Float], on grid: PatchGrid) -> RGBImage {
        var lit = pixels
        for y in 0..<height {
            for x in 0..<width {
                let value = values[y * grid.height / height * grid.width + x * grid.width / width]
                let light = Self.dimmest + (1 - Self.dimmest) * Swift.min(Swift.max(value, 0), 1)
                let start = (y * width + x) * 3
                for index in start..<start + 3 { lit[index] = UInt8((Float(pixels[index]) * light).rounded()) }
            }
        }
        return RGBImage(width: width, height: height, pixels: lit)
    }
}
