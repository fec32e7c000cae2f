/// The colour a photograph is tinted with.
public enum FashionTint: UInt8, CaseIterable, Sendable {
    /// One of seven.
    case red, orange, yellow, green, cyan, blue, purple

    /// The word for it.
    public var name: String { "\(self)" }

    /// What white becomes.
    var channels: [Int] {
        switch self {
        case .red: [255, 64, 60]
        case .orange: [255, 150, 40]
        case .yellow: [250, 236, 80]
        case .green: [70, 220, 90]
        case .cyan: [80, 230, 240]
        case .blue: [90, 120, 255]
        case .purple: [200, 90, 250]
        }
    }
}

/// One photograph of a grid.
public struct FashionItem: Sendable, Hashable {
    /// Its number among the photographs of the split.
    public var photo: Int
    /// What it shows.
    public var kind: FashionKind
    /// Its colour.
    public var tint: FashionTint
    /// Row of the grid, from 1 at the top.
    public var row: Int
    /// Column of the grid, from 1 at the left.
    public var column: Int
    /// Width and height in units, of which a picture is 128 wide.
    public var side: Int
    /// Column of its upper left corner, in units.
    public var x: Int
    /// Row of its upper left corner, in units.
    public var y: Int

    /// The cell in words: "row 1 column 2".
    public var place: String { "row \(row) column \(column)" }
}

/// Photographs in some cells of a grid.
public struct FashionScene: Sendable, Hashable {
    /// Rows and columns, 2 to 4.
    public var grid: Int
    /// The photographs in raster order.
    public var items: [FashionItem]
    /// The grey behind them.
    public var ground: Int

    /// A scene of some photographs, drawn at random.
    init(of photos: FashionPhotos, drawing random: inout SplitMix64) {
        let grid = random.value(in: 2...4)
        self.grid = grid
        ground = random.value(in: 8...40)
        let cells = random.shuffled(Array(0..<grid * grid)).prefix(random.value(in: grid * grid / 2...grid * grid))
            .sorted()
        // Half of the scenes repeat few kinds and colours, so that there is something to count.
        var kinds = FashionKind.allCases
        var tints = FashionTint.allCases
        if random.coin() {
            kinds = Array(random.shuffled(kinds).prefix(random.value(in: 2...4)))
            tints = Array(random.shuffled(tints).prefix(random.value(in: 1...3)))
        }
        let wanted = Set(kinds)
        items = []
        for cell in cells {
            var photo = random.below(photos.count)
            // Photographs are in no order of kinds: one of the wanted kinds is soon found.
            for _ in 0..<64 where !wanted.contains(photos.kinds[photo]) { photo = random.below(photos.count) }
            let extent = 128 / grid
            let side = random.value(in: extent * 3 / 4...extent - 3)
            let (row, column) = (cell / grid, cell % grid)
            items.append(
                FashionItem(
                    photo: photo, kind: photos.kinds[photo], tint: tints[random.below(tints.count)], row: row + 1,
                    column: column + 1, side: side, x: column * extent + random.value(in: 1...extent - side),
                    y: row * extent + random.value(in: 1...extent - side)))
        }
    }

    /// One row in words, from left to right: "row 2: red bag, blue coat".
    func caption(drawing random: inout SplitMix64) -> String {
        let rows = Set(items.map(\.row)).sorted()
        guard let row = random.element(of: rows) else { return "" }
        return "row \(row): "
            + items.filter { $0.row == row }.map { "\($0.tint.name) \($0.kind.name)" }.joined(separator: ", ")
    }
}
