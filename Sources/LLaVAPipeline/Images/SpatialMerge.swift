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

    /// Views `[1 + tiles, N, D]` of an image in one sequence `[n, D]`.
    /// - Parameters:
    ///   - tiles: tiles across and down.
    ///   - imageSize: size of the original image in pixels.
    func callAsFunction(_ views: Tensor, tiles: ImageSize, imageSize: ImageSize) -> VisualTokens {
        let base = views[0]  // [N, D]
        let size = base.columns
        let visible = AnyResolution.unpaddedRegion(
            featureHeight: tiles.height * gridSize, featureWidth: tiles.width * gridSize,
            originalWidth: imageSize.width, originalHeight: imageSize.height)

        // Patch (y, x) of the map lies in tile (y / grid, x / grid).
        let patches = views[1..<views.shape[0]].reshaped(to: [(views.shape[0] - 1) * base.rows, size])
        var order: [Int] = []
        for y in visible.rows {
            for x in visible.columns {
                let tile = y / gridSize * tiles.width + x / gridSize
                order.append(tile * base.rows + y % gridSize * gridSize + x % gridSize)
            }
        }
        let full = AnyResolution.FeatureMapSize(height: visible.rows.count, width: visible.columns.count)
        let kept = AnyResolution.shrunkMapSize(full, patchesPerSide: gridSize, maxNumPatches: maxNumPatches)
        var map = patches.gatheredRows(order)  // [height · width, D]
        if kept != full { map = bilinearlyResampled(map, from: full, to: kept) }
        let newline = imageNewline.reshaped(to: [1, size])
        let lines = (0..<kept.height).flatMap { [map[$0 * kept.width..<($0 + 1) * kept.width], newline] }
        let tokens = Tensor.concatenatingRows([base] + lines)
        return VisualTokens(
            embeddings: tokens, isHighResolution: (0..<tokens.rows).map { $0 >= base.rows })
    }

    /// Bilinear interpolation with half-pixel centres, as `torch.nn.functional.interpolate` does it.
    private func bilinearlyResampled(
        _ map: Tensor, from source: AnyResolution.FeatureMapSize, to target: AnyResolution.FeatureMapSize
    ) -> Tensor {
        func taps(_ output: Int, _ inputs: Int, _ outputs: Int) -> (low: Int, high: Int, weight: Float) {
            let center = max(0, (Float(output) + 0.5) * Float(inputs) / Float(outputs) - 0.5)
            let low = min(Int(center), inputs - 1)
            return (low, min(low + 1, inputs - 1), center - Float(low))
        }
        return map.combinedRows(
            (0..<target.height * target.width).map { cell in
                let v = taps(cell / target.width, source.height, target.height)
                let u = taps(cell % target.width, source.width, target.width)
                return [(v.low, 1 - v.weight), (v.high, v.weight)].flatMap { row, vertical in
                    [(u.low, 1 - u.weight), (u.high, u.weight)].map { (row * source.width + $0, vertical * $1) }
                }
            })
    }
}
