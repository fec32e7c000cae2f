/// A layer that the papers on im2win measure: twelve of well-known networks, without padding.
///
/// Source: arXiv 2306.14320, table 1 (conv1 to conv12).
public struct PublishedLayer: Sendable {
    /// "conv1" to "conv12".
    public let name: String
    /// Height and width of the image.
    public let side: Int
    /// Channels, filters and how they move.
    public let geometry: Convolution2D.Geometry

    private init(_ number: Int, _ channels: Int, _ side: Int, _ filters: Int, _ filter: Int, _ stride: Int) {
        name = "conv\(number)"
        self.side = side
        geometry = .init(channels: channels, filters: filters, filter: filter, stride: stride)
    }

    /// All twelve, in their order.
    public static let all = [
        Self(1, 3, 227, 96, 11, 4), Self(2, 3, 231, 96, 11, 4), Self(3, 3, 227, 64, 7, 2), Self(4, 64, 224, 64, 7, 2),
        Self(5, 96, 24, 256, 5, 1), Self(6, 256, 12, 512, 3, 1), Self(7, 3, 224, 64, 3, 1), Self(8, 64, 112, 128, 3, 1),
        Self(9, 64, 56, 64, 3, 1), Self(10, 128, 28, 128, 3, 1), Self(11, 256, 14, 256, 3, 1),
        Self(12, 512, 7, 512, 3, 1),
    ]

    /// Operations of one image: two for every multiply-add.
    public var operations: Int {
        let output = geometry.outputSize(height: side, width: side)
        return 2 * output.height * output.width * geometry.filters * geometry.depth
    }
}
