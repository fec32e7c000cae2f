public import VisionEncoder

/// Draws scenes: anti-aliased by the exact horizontal coverage of four lines in every row of pixels.
public struct SceneRenderer: Sendable {
    /// Width and height of the pictures in pixels.
    public let side: Int
    /// Cells along a side of the dense labels; nil for none.
    public let labelGrid: Int?

    /// A renderer of square pictures.
    public init(side: Int = 128, labelGrid: Int? = nil) {
        precondition(side > 0 && (labelGrid.map { $0 > 0 && $0 <= side } ?? true))
        self.side = side
        self.labelGrid = labelGrid
    }

    /// The picture of a scene, and what is seen in every cell of the grid. O(pixels).
    public func picture(of scene: Scene) -> (image: RGBImage, labels: DenseLabels?) {
        var pixels = scene.ground.pixels(side: side)
        let cells = labelGrid.map { $0 * $0 } ?? 0
        // Of every object the share of every cell, in 1/1024 pixel.
        var shares = [Int](repeating: 0, count: cells * scene.objects.count)
        for (index, object) in scene.objects.enumerated() {
            draw(object, into: &pixels) { x, y, coverage in
                guard let grid = labelGrid else { return }
                shares[index * cells + y * grid / side * grid + x * grid / side] += coverage
            }
        }
        let labels = labelGrid.map { self.denseLabels(scene.objects, shares, grid: $0) }
        return (RGBImage(width: side, height: side, pixels: pixels), labels)
    }

    private func draw(
        _ object: SceneObject, into pixels: inout [UInt8], _ covered: (_ x: Int, _ y: Int, _ coverage: Int) -> Void
    ) {
        func scaled(_ units: Int) -> Int { units * side * 256 / Scene.extent }
        let (centerX, centerY, radius) = (scaled(object.x), scaled(object.y), scaled(object.radius))
        let left = max(0, (centerX - radius) >> 8)
        let right = min(side - 1, (centerX + radius) >> 8)
        let rows = max(0, (centerY - radius) >> 8)...min(side - 1, (centerY + radius) >> 8)
        let channels = object.color.channels
        let (red, green, blue) = (
            channels[0] + Int(object.tint[0]), channels[1] + Int(object.tint[1]), channels[2] + Int(object.tint[2])
        )
        var coverage = [Int](repeating: 0, count: right - left + 2)
        for row in rows {
            for index in coverage.indices { coverage[index] = 0 }
            for line in 0..<4 {
                let y = row << 8 + line << 6 + 32 - centerY
                ShapeOutline.forEachSpan(of: object.shape, radius: radius, y: y) { from, to in
                    let start = max(0, from + centerX - left << 8)
                    let end = min((right - left + 1) << 8, to + centerX - left << 8)
                    guard start < end else { return }
                    let (first, last) = (start >> 8, end >> 8)
                    if first == last { return coverage[first] += end - start }
                    coverage[first] += 256 - start & 255
                    for column in first + 1..<max(first + 1, last) { coverage[column] += 256 }
                    coverage[last] += end & 255
                }
            }
            for column in left...right {
                let share = coverage[column - left]
                guard share > 0 else { continue }
                let at = (row * side + column) * 3
                func blend(_ below: UInt8, _ above: Int) -> UInt8 {
                    UInt8(clamping: (Int(below) &* (1024 &- share) &+ above &* share &+ 512) >> 10)
                }
                pixels[at] = blend(pixels[at], red)
                pixels[at + 1] = blend(pixels[at + 1], green)
                pixels[at + 2] = blend(pixels[at + 2], blue)
                covered(column, row, share)
            }
        }
    }

    /// A cell shows the object that takes most of it, from 1/16 on; below 1/64 it shows the ground.
    private func denseLabels(_ objects: [SceneObject], _ shares: [Int], grid: Int) -> DenseLabels {
        let cells = grid * grid
        let whole = side * side * 1024 / cells
        var (shapes, colors) = ([UInt8](repeating: 0, count: cells), [UInt8](repeating: 0, count: cells))
        for cell in 0..<cells {
            var (best, most, total) = (-1, 0, 0)
            for index in objects.indices {
                let share = shares[index * cells + cell]
                total += share
                if share > most { (best, most) = (index, share) }
            }
            if most * 16 >= whole {
                shapes[cell] = objects[best].shape.rawValue + 1
                colors[cell] = objects[best].color.rawValue + 1
            } else if total * 64 >= whole {
                (shapes[cell], colors[cell]) = (DenseLabels.ignored, DenseLabels.ignored)
            }
        }
        return DenseLabels(
            grid: grid,
            fields: [
                .init(name: "shape", classes: ["background"] + SceneShape.allCases.map(\.name), values: shapes),
                .init(name: "colour", classes: ["background"] + SceneColor.allCases.map(\.name), values: colors),
            ])
    }
}
