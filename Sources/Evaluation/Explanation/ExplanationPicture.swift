import NeuralNetwork
public import VisionEncoder

/// An explanation as one picture.
///
/// The picture as the model sees it lies beside the same with patches as bright as the answer depends on them; below are
/// the tokens of the answer one by one, and then the layers that skip visual tokens, patches as bright as they are kept.
/// Captions between them say so.
public struct ExplanationPicture {
    private let explanation: Explanation

    /// A picture of an explanation.
    public init(_ explanation: Explanation) { self.explanation = explanation }

    private static let (width, columns, gap) = (336, 4, 12)
    private static let fullWidth = 2 * width + 3 * gap

    /// What lies below each other: pictures side by side, or a line of text.
    private enum Line {
        case pictures([RGBImage])
        case text(String)

        var height: Int {
            switch self {
            case .pictures(let pictures): (pictures.map(\.height).max() ?? 0) + ExplanationPicture.gap
            case .text: PixelText.lineHeight
            }
        }
    }

    /// The picture.
    public var image: RGBImage {
        let lines = lines
        var canvas = Canvas(width: Self.fullWidth, height: lines.reduce(Self.gap) { $0 + $1.height })
        var y = Self.gap
        for line in lines {
            switch line {
            case .pictures(let pictures):
                for (column, picture) in pictures.enumerated() {
                    canvas.place(picture, x: Self.gap + column * (picture.width + Self.gap), y: y)
                }
            case .text(let text): canvas.write(text, x: Self.gap, y: y)
            }
            y += line.height
        }
        return RGBImage(width: canvas.width, height: canvas.height, pixels: canvas.pixels)
    }

    private var lines: [Line] {
        let (seen, grid) = (explanation.picture, explanation.grid)
        let large = seen.resized(
            to: ImageSize(width: Self.width, height: max(1, seen.height * Self.width / seen.width)))
        // Two large pictures are as wide as a line of small ones.
        let smallWidth = (2 * Self.width + Self.gap - (Self.columns - 1) * Self.gap) / Self.columns
        let small = seen.resized(
            to: ImageSize(width: smallWidth, height: max(1, seen.height * smallWidth / seen.width)))
        func strip(_ maps: [[Float]]) -> [Line] {
            stride(from: 0, to: maps.count, by: Self.columns).map { start in
                .pictures(maps[start..<min(start + Self.columns, maps.count)].map { small.lit($0, on: grid) })
            }
        }
        var lines: [Line] = [.pictures([large, large.lit(explanation.relevance.scaledToOne, on: grid)])]
        lines += caption("Left: as the model sees it. Right: patches as bright as the answer depends on them. \(note)")
        if explanation.tokens.count > 1 {
            lines += caption("The same for each token of the answer.")
            lines += strip(explanation.tokens.map(\.relevance.scaledToOne))
        }
        if !explanation.layers.isEmpty {
            let kept = explanation.layers.map { "\($0.index + 1): \($0.kept)" }.joined(separator: ", ")
            lines += caption("What layers keep of \(explanation.visualTokens) visual tokens: layer \(kept)")
            lines += strip(explanation.layers.map(\.share))
        }
        return lines
    }

    private func caption(_ text: String) -> [Line] {
        PixelText.lines(text, width: Self.fullWidth - 2 * Self.gap).map(Line.text)
    }

    /// What the maps are made of, in a line.
    private var note: String {
        let gradient = "Shown are gradients of its log-probability"
        return switch explanation.connection {
        case .positions:
            "\(gradient): attention weights of this query transformer are the same for every picture."
        case .features, .patches: "\(gradient)."
        }
    }
}

/// A white rectangle of pixels that is drawn on.
private struct Canvas {
    let width, height: Int
    private(set) var pixels: [UInt8]

    init(width: Int, height: Int) {
        (self.width, self.height) = (width, height)
        pixels = [UInt8](repeating: 255, count: width * height * 3)
    }

    /// Puts a picture with its upper left corner at (x, y), where it fits.
    mutating func place(_ picture: RGBImage, x: Int, y: Int) {
        for row in 0..<picture.height {
            let target = ((y + row) * width + x) * 3
            pixels.replaceSubrange(
                target..<target + picture.width * 3,
                with: picture.pixels[row * picture.width * 3..<(row + 1) * picture.width * 3])
        }
    }

    /// Writes a line of text in black with its upper left corner at (x, y); what lies outside is left out.
    mutating func write(_ text: String, x: Int, y: Int) {
        for pixel in PixelText.pixels(text) where x + pixel.x < width && y + pixel.y < height {
            let start = ((y + pixel.y) * width + x + pixel.x) * 3
            for channel in start..<start + 3 { pixels[channel] = 0 }
        }
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
