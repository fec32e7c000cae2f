import Tensors
import VisionEncoder

/// How LLaVA-NeXT puts the views of one image in sequence: the whole view first, then the map of tiles, without the
/// patches that only padding shows, a learned line break after each of its rows.
///
/// Source: LLaVA 1.2.2 `llava_arch.py`, `spatial_unpad`; `max_num_patches` from p-MoD at 459f6df.
struct SpatialMerge {
    /// Line break, `[D]`.
    let imageNewline: Tensor
    /// Patches along a side of one view.
    let gridSize: Int
    /// Limit on the map's patches in multiples of `gridSize²`, or nil.
    let maxNumPatches: Int?

    /// Views `[1 + tiles, N, D]` of an image of the given size in one sequence `[n, D]`.
    /// - Parameters:
    ///   - tiles: tiles in each row and column of the map.
    ///   - imageSize: size of the original image in pixels.
    func callAsFunction(
        _ views: Tensor, tiles: (columns: Int, rows: Int), imageSize: (width: Int, height: Int)
    ) -> VisualTokens {
        let base = views[0]                                     // [N, D]
        let size = base.columns
        let width = tiles.columns * gridSize
        let height = tiles.rows * gridSize
        let visible = AnyResolution.unpaddedRegion(
            featureHeight: height, featureWidth: width, originalWidth: imageSize.width,
            originalHeight: imageSize.height)

        // Patch (y, x) of the map lies in tile (y / grid, x / grid).
        let patches = views[1..<views.shape[0]].reshaped(to: [(views.shape[0] - 1) * base.rows, size])
        var order: [Int] = []
        for y in visible.rows {
            for x in visible.columns {
                let tile = y / gridSize * tiles.columns + x / gridSize
                order.append(tile * base.rows + y % gridSize * gridSize + x % gridSize)
            }
        }
        var (rows, columns) = (visible.rows.count, visible.columns.count)
        var map = patches.gatheredRows(order)                   // [rows · columns, D]
        if let limited = limitedSize(rows: rows, columns: columns) {
            map = bilinearlyResampled(map, rows: rows, columns: columns, to: limited)
            (rows, columns) = limited
        }
        let newline = imageNewline.reshaped(to: [1, size])
        let lines = (0..<rows).flatMap { [map[$0 * columns..<($0 + 1) * columns], newline] }
        let tokens = Tensor.concatenatingRows([base] + lines)
        return VisualTokens(
            embeddings: tokens, isHighResolution: (0..<tokens.rows).map { $0 >= base.rows })
    }

    /// The size to which a map above the limit is reduced; nil below it.
    func limitedSize(rows: Int, columns: Int) -> (rows: Int, columns: Int)? {
        guard let maxNumPatches else { return nil }
        let times = (Double(rows * columns) / Double(maxNumPatches * gridSize * gridSize)).squareRoot()
        return times > 1.01 ? (Int(Double(rows) / times), Int(Double(columns) / times)) : nil
    }

    /// Bilinear interpolation with half-pixel centres, as `torch.nn.functional.interpolate` does it.
    private func bilinearlyResampled(
        _ map: Tensor, rows: Int, columns: Int, to target: (rows: Int, columns: Int)
    ) -> Tensor {
        func taps(_ output: Int, _ inputs: Int, _ outputs: Int) -> (low: Int, high: Int, weight: Float) {
            let center = max(0, (Float(output) + 0.5) * Float(inputs) / Float(outputs) - 0.5)
            let low = min(Int(center), inputs - 1)
            return (low, min(low + 1, inputs - 1), center - Float(low))
        }
        let size = map.columns
        return map.withFloats { source in
            Tensor(shape: [target.rows * target.columns, size]) { output in
                for y in 0..<target.rows {
                    let v = taps(y, rows, target.rows)
                    for x in 0..<target.columns {
                        let u = taps(x, columns, target.columns)
                        for c in 0..<size {
                            func at(_ row: Int, _ column: Int) -> Float { source[(row * columns + column) * size + c] }
                            let top = at(v.low, u.low) * (1 - u.weight) + at(v.low, u.high) * u.weight
                            let bottom = at(v.high, u.low) * (1 - u.weight) + at(v.high, u.high) * u.weight
                            output[(y * target.columns + x) * size + c] = top * (1 - v.weight) + bottom * v.weight
                        }
                    }
                }
            }
        }
    }
}
