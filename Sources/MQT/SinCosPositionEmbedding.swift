import Foundation
public import Tensors

/// The fixed two-dimensional position table that a query transformer starts from.
///
/// The first half of a vector encodes the column, the second half the row; each is sines then cosines of the
/// coordinate times 10000^(-j / (D/4)). Trained checkpoints carry positions of their own.
///
/// Source: `get_2d_sincos_pos_embed` in MQT-LLaVA at 92c35d0, after MAE (arXiv 2111.06377).
public enum SinCosPositionEmbedding {
    /// The table `[grid², size]`, row-major over a square grid; `size` is a multiple of 4.
    public static func table(size: Int, grid: Int) -> Tensor {
        precondition(size % 4 == 0, "size \(size) is not a multiple of 4")
        let quarter = size / 4
        let frequencies = (0..<quarter).map { pow(10_000, -Double($0) / Double(quarter)) }
        func encode(_ coordinate: Int) -> [Float] {
            let angles = frequencies.map { Double(coordinate) * $0 }
            return angles.map { Float(sin($0)) } + angles.map { Float(cos($0)) }
        }
        var values: [Float] = []
        values.reserveCapacity(grid * grid * size)
        for row in 0..<grid {
            for column in 0..<grid { values += encode(column) + encode(row) }
        }
        return Tensor(values, shape: [grid * grid, size])
    }
}
