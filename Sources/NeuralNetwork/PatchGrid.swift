/// Rows and columns of patch features.
public struct PatchGrid: Sendable, Equatable, Hashable {
    /// Rows of patches.
    public var height: Int
    /// Columns of patches.
    public var width: Int

    /// A grid of the given size.
    public init(height: Int, width: Int) {
        self.height = height
        self.width = width
    }

    /// The square grid of `count` cells; `count` is a square number.
    public init(squareOf count: Int) {
        let side = Int(Double(count).squareRoot().rounded())
        precondition(side * side == count, "\(count) is not a square number")
        self.init(height: side, width: side)
    }

    /// Number of cells, N.
    public var count: Int { height * width }
}
