/// A width and a height in pixels or in tiles, in this order as in Pillow and in `image_grid_pinpoints`.
public struct ImageSize: Hashable, Sendable, CustomStringConvertible {
    /// Extent from left to right.
    public var width: Int
    /// Extent from top to bottom.
    public var height: Int

    /// A size of `width` x `height`.
    public init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }

    /// Width times height.
    public var area: Int { width * height }

    /// "640 x 427".
    public var description: String { "\(width) x \(height)" }
}

/// A rectangle of pixels inside a picture.
public struct ImageRegion: Hashable, Sendable {
    /// From top to bottom.
    public var rows: Range<Int>
    /// From left to right.
    public var columns: Range<Int>

    /// The rectangle where `rows` and `columns` cross.
    public init(rows: Range<Int>, columns: Range<Int>) {
        self.rows = rows
        self.columns = columns
    }

    /// All of a picture of `size`.
    public init(allOf size: ImageSize) {
        self.init(rows: 0..<size.height, columns: 0..<size.width)
    }

    /// Width and height of the rectangle.
    public var size: ImageSize { ImageSize(width: columns.count, height: rows.count) }
}
