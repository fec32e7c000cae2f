/// LLaVA-NeXT's choice of a grid of tiles for a picture of any shape, and the arithmetic of its visual tokens.
///
/// Source: `llava/mm_utils.py` and `llava/model/llava_arch.py` of LLaVA 1.2.2, which p-MoD keeps.
public struct AnyResolution: Sendable, Equatable {
    /// Most tiles that a picture is cut into; published models have up to 36.
    public static let tileLimit = 100

    /// The resolutions to choose from, each a whole number of tiles in both directions, in order of preference.
    public let pinpoints: [ImageSize]
    /// Side of a tile in pixels: the input of the vision tower.
    public let tileSide: Int

    /// A choice among `pinpoints`.
    /// - Throws: `ImageError.configuration` if there is none, or one that is not made of whole tiles.
    public init(pinpoints: [ImageSize], tileSide: Int) throws {
        let isMadeOfTiles = pinpoints.allSatisfy {
            $0.width > 0 && $0.height > 0 && $0.width % tileSide == 0 && $0.height % tileSide == 0
                && $0.width <= RGBImage.sideLimit && $0.height <= RGBImage.sideLimit
                && $0.area / (tileSide * tileSide) <= Self.tileLimit && $0.area <= RGBImage.pixelLimit
        }
        guard !pinpoints.isEmpty, isMadeOfTiles else {
            throw ImageError.configuration(
                file: "config.json", key: "image_grid_pinpoints",
                expected:
                    "one or more sizes in multiples of the vision tower's \(tileSide) pixels, of at most \(Self.tileLimit) tiles each",
                got: "\(pinpoints.map(\.description))")
        }
        self.pinpoints = pinpoints
        self.tileSide = tileSide
    }

    /// The pinpoint that keeps most of a picture's pixels; among equals the one that wastes least, then the first.
    public func bestResolution(for original: ImageSize) -> ImageSize {
        var best = (size: pinpoints[0], effective: 0, wasted: Int.max)
        for size in pinpoints {
            let scale = min(
                Double(size.width) / Double(original.width), Double(size.height) / Double(original.height))
            let kept = Int(Double(original.width) * scale) * Int(Double(original.height) * scale)
            let effective = min(kept, original.area)
            let wasted = size.area - effective
            if effective > best.effective || (effective == best.effective && wasted < best.wasted) {
                best = (size, effective, wasted)
            }
        }
        return best.size
    }

    /// Tiles across and down for a picture of `original`.
    public func grid(for original: ImageSize) -> ImageSize {
        let best = bestResolution(for: original)
        return ImageSize(width: best.width / tileSide, height: best.height / tileSide)
    }

    /// The size that a picture is resized to so that it fits into `resolution` with its shape kept.
    public static func fittedSize(of original: ImageSize, in resolution: ImageSize) -> ImageSize {
        let across = Double(resolution.width) / Double(original.width)
        let down = Double(resolution.height) / Double(original.height)
        func side(_ side: Int, _ scale: Double, _ limit: Int) -> Int {
            min(Int((Double(side) * scale).rounded(.up)), limit)
        }
        return across < down
            ? ImageSize(width: resolution.width, height: side(original.height, across, resolution.height))
            : ImageSize(width: side(original.width, down, resolution.width), height: resolution.height)
    }
}

// MARK: - Pixels

extension AnyResolution {
    /// The picture resized into its best resolution, in the middle of black.
    public func padded(_ image: RGBImage) -> RGBImage {
        let best = bestResolution(for: image.size)
        let fitted = Self.fittedSize(of: image.size, in: best)
        return image.resized(to: fitted)
            .placed(on: .black, in: best, x: (best.width - fitted.width) / 2, y: (best.height - fitted.height) / 2)
    }

    /// What the vision tower sees: the whole picture squeezed into one tile, its shape not kept, then the tiles of
    /// the padded picture row by row.
    public func views(of image: RGBImage) -> [RGBImage] {
        let padded = padded(image)
        let squeezed = image.resized(to: ImageSize(width: tileSide, height: tileSide))
        let tiles = stride(from: 0, to: padded.height, by: tileSide).flatMap { y in
            stride(from: 0, to: padded.width, by: tileSide).map { x in
                padded.cropped(to: ImageRegion(rows: y..<y + tileSide, columns: x..<x + tileSide))
            }
        }
        return [squeezed] + tiles
    }
}
