extension RGBImage {
    /// The picture in the middle of a square of `color`, as LLaVA's `expand2square`: the side is the longer one, the
    /// odd pixel falls to the right or below.
    /// - Throws: `ImageError.intermediateTooLarge` if the square has more pixels than `pixelLimit`.
    public func paddedToSquare(_ color: RGBColor) throws -> RGBImage {
        if width == height { return self }
        let side = max(width, height)
        let square = ImageSize(width: side, height: side)
        guard square.area <= Self.pixelLimit else {
            throw ImageError.intermediateTooLarge(step: "padding to a square", original: size, size: square)
        }
        return placed(on: color, in: square, x: (side - width) / 2, y: (side - height) / 2)
    }
}
