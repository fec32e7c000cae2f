import Foundation
public import Tensors

/// A table of position vectors resampled from one grid to another, as `torch.nn.functional.interpolate` does it:
/// bicubic with a = -0.75, half-pixel centres, taps clamped at the border, no antialiasing.
///
/// - Parameter positions: `[from.count, D]` float32.
/// - Returns: `[to.count, D]`.
public func bicubicallyResampled(_ positions: Tensor, from: PatchGrid, to: PatchGrid) -> Tensor {
    if from == to { return positions }
    let rows = taps(inputs: from.height, outputs: to.height)
    let columns = taps(inputs: from.width, outputs: to.width)
    return positions.combinedRows(
        rows.flatMap { rowTaps in
            columns.map { columnTaps in
                rowTaps.flatMap { row in
                    columnTaps.map { (row.index * from.width + $0.index, row.weight * $0.weight) }
                }
            }
        })
}

/// The four inputs that each output of one axis reads, with their weights.
private func taps(inputs: Int, outputs: Int) -> [[(index: Int, weight: Float)]] {
    (0..<outputs).map { output in
        let center = (Float(output) + 0.5) * Float(inputs) / Float(outputs) - 0.5
        let first = center.rounded(.down)
        let t = center - first
        return (-1...2).map { offset in
            (min(max(Int(first) + offset, 0), inputs - 1), cubic(abs(t - Float(offset))))
        }
    }
}

/// The cubic convolution kernel of Keys with a = -0.75.
private func cubic(_ x: Float) -> Float {
    let a: Float = -0.75
    if x <= 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
    if x < 2 { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a }
    return 0
}
