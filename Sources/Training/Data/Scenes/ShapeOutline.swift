/// The parts of a horizontal line that lie inside a shape, in 1/256 of a pixel around the shape's centre.
///
/// Whole numbers only, and square roots, which IEEE 754 rounds correctly: the same on every machine.
enum ShapeOutline {
    /// Gives the spans [from, to) of the line at `y` to `body`, from left to right; radius and y in 1/256 pixel.
    static func forEachSpan(of shape: SceneShape, radius: Int, y: Int, _ body: (_ from: Int, _ to: Int) -> Void) {
        switch shape {
        case .circle:
            let half = halfWidth(radius, y)
            if half > 0 { body(-half, half) }
        case .ring:
            let outer = halfWidth(radius, y)
            let inner = halfWidth(radius * 9 / 16, y)
            guard outer > 0 else { return }
            if inner == 0 { return body(-outer, outer) }
            body(-outer, -inner)
            body(inner, outer)
        case .square: polygon(square, radius, y, body)
        case .triangle: polygon(triangle, radius, y, body)
        case .star: polygon(star, radius, y, body)
        case .cross: polygon(cross, radius, y, body)
        }
    }

    private static func halfWidth(_ radius: Int, _ y: Int) -> Int {
        let squared = radius * radius - y * y
        return squared > 0 ? Int(Double(squared).squareRoot()) : 0
    }

    private typealias Corner = (x: Int, y: Int)

    // Corners in 1/1024 of the radius.
    private static let square: [Corner] = [(-900, -900), (900, -900), (900, 900), (-900, 900)]
    private static let triangle: [Corner] = [(0, -1024), (1024, 870), (-1024, 870)]
    private static let cross: [Corner] = [
        (-330, -1024), (330, -1024), (330, -330), (1024, -330), (1024, 330), (330, 330), (330, 1024), (-330, 1024),
        (-330, 330), (-1024, 330), (-1024, -330), (-330, -330),
    ]
    // Points at 1 and 0.45 of the radius, 36 degrees apart.
    private static let star: [Corner] = [
        (0, -1024), (271, -373), (974, -316), (438, 142), (602, 828), (0, 461), (-602, 828), (-438, 142), (-974, -316),
        (-271, -373),
    ]

    /// Where the edges cross the line, in pairs. No line crosses more than six.
    private static func polygon(_ corners: [Corner], _ radius: Int, _ y: Int, _ body: (Int, Int) -> Void) {
        var crossings: InlineArray<8, Int> = .init(repeating: .max)
        var count = 0
        var previous = corners[corners.count - 1]
        for corner in corners {
            let (y0, y1) = ((previous.y * radius) >> 10, (corner.y * radius) >> 10)
            let (x0, x1) = ((previous.x * radius) >> 10, (corner.x * radius) >> 10)
            previous = corner
            guard (y0 <= y) != (y1 <= y), count < 8 else { continue }
            let x = x0 + (x1 - x0) * (y - y0) / (y1 - y0)
            var slot = count
            while slot > 0, crossings[slot - 1] > x {
                crossings[slot] = crossings[slot - 1]
                slot -= 1
            }
            crossings[slot] = x
            count += 1
        }
        for pair in stride(from: 0, to: count - 1, by: 2) { body(crossings[pair], crossings[pair + 1]) }
    }
}
