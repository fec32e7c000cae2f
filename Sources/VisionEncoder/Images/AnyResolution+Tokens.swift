import Foundation

extension AnyResolution {
    /// Height and width of a map of features.
    public struct FeatureMapSize: Hashable, Sendable {
        /// Rows.
        public var height: Int
        /// Columns.
        public var width: Int

        /// A map of `height` rows and `width` columns.
        public init(height: Int, width: Int) {
            self.height = height
            self.width = width
        }
    }

    /// The map of all tiles' features side by side, `patchesPerSide` patches to a tile's side.
    public func featureMapSize(for original: ImageSize, patchesPerSide: Int) -> FeatureMapSize {
        let grid = grid(for: original)
        return FeatureMapSize(height: grid.height * patchesPerSide, width: grid.width * patchesPerSide)
    }

    /// The rows and columns of a map of features that show the picture and not the black around it.
    ///
    /// LLaVA's `unpad_image`: the size may be one more than the scaled picture's, and for extreme shapes it may be 0.
    public static func unpaddedRegion(
        featureHeight: Int, featureWidth: Int, originalWidth: Int, originalHeight: Int
    ) -> (rows: Range<Int>, columns: Range<Int>) {
        func middle(_ extent: Int, _ kept: Int) -> Range<Int> {
            let margin = max(0, extent - kept) / 2
            return margin..<extent - margin
        }
        let (width, height) = (Double(originalWidth), Double(originalHeight))
        let (columns, rows) = (Double(featureWidth), Double(featureHeight))
        return width / height > columns / rows
            ? (middle(featureHeight, Int(height * (columns / width))), 0..<featureWidth)
            : (0..<featureHeight, middle(featureWidth, Int(width * (rows / height))))
    }

    /// The map of features that is left after unpadding and, if `maxNumPatches` tiles are exceeded, after shrinking.
    ///
    /// Shrinking (bilinear, by the caller) happens only when it is by more than a hundredth.
    public func keptMapSize(
        for original: ImageSize, patchesPerSide: Int, maxNumPatches: Int? = nil
    ) -> FeatureMapSize {
        let map = featureMapSize(for: original, patchesPerSide: patchesPerSide)
        let kept = Self.unpaddedRegion(
            featureHeight: map.height, featureWidth: map.width, originalWidth: original.width,
            originalHeight: original.height)
        let size = FeatureMapSize(height: kept.rows.count, width: kept.columns.count)
        return Self.shrunkMapSize(size, patchesPerSide: patchesPerSide, maxNumPatches: maxNumPatches)
    }

    /// The size that a map above the limit of `maxNumPatches` tiles is reduced to; the map's own size below it.
    public static func shrunkMapSize(
        _ size: FeatureMapSize, patchesPerSide: Int, maxNumPatches: Int?
    ) -> FeatureMapSize {
        guard let maxNumPatches, maxNumPatches > 0 else { return size }
        let limit = Double(maxNumPatches * patchesPerSide * patchesPerSide)
        let times = (Double(size.height * size.width) / limit).squareRoot()
        guard times > 1.01 else { return size }
        // Python's `//` of doubles: exact remainder first.
        func quotient(_ side: Int) -> Int {
            Int(((Double(side) - fmod(Double(side), times)) / times).rounded())
        }
        return FeatureMapSize(height: quotient(size.height), width: quotient(size.width))
    }

    /// Visual tokens of a picture: those of the whole picture, then the kept map with one newline token a row.
    public func imageTokenCount(for original: ImageSize, patchesPerSide: Int, maxNumPatches: Int? = nil) -> Int {
        let kept = keptMapSize(for: original, patchesPerSide: patchesPerSide, maxNumPatches: maxNumPatches)
        return patchesPerSide * patchesPerSide + kept.height * (kept.width + 1)
    }
}
