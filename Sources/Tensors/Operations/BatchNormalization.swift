import CKernels

/// Every column normalised over the rows, (x - mean) / √(variance + ε) · weight + bias.
/// - Parameters:
///   - x: float32 `[..., C]`, such as images `[B, H, W, C]`.
///   - weight: float32 `[C]`.
///   - bias: float32 `[C]`.
/// - Returns: the result, and the mean and the variance (divided by the number of rows) of each column, `[C]`, untracked.
///
/// Source: arXiv 1502.03167.
public func batchNorm(
    _ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float
) -> (output: Tensor, mean: Tensor, variance: Tensor) {
    let (rows, columns, input) = (x.rows, x.columns, x.floatPointer)
    precondition(weight.count == columns && bias.count == columns && rows > 0, "batchNorm of \(x.shape)")
    let mean = x.summedRows.scaled(by: 1 / Float(rows))
    let center = mean.floatPointer
    let variance = columnSums(rows: rows, columns: columns) { table, row, sums in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { buffer in
            guard let d = buffer.baseAddress else { return }
            table.add_scaled(Int64(columns), input + row * columns, -1, center, d)
            table.add_product(Int64(columns), d, d, sums)
        }
    }.scaled(by: 1 / Float(rows))

    let (w, b, means) = (weight.floats, bias.floats, mean.floats)
    let inverse = variance.floats.map { 1 / ($0 + epsilon).squareRoot() }
    let scale = zip(w, inverse).map { $0 * $1 }
    let shift = b.indices.map { b[$0] - means[$0] * scale[$0] }
    let output = x.untracked.affine(scale: Tensor(scale, shape: [columns]), shift: Tensor(shift, shape: [columns]))
    guard isTracking(x, weight, bias) else { return (output, mean, variance) }
    let recorded = output.recorded(from: [x, weight, bias]) { gradient, pass in
        let (dy, input, center) = (gradient.floatPointer, x.floatPointer, mean.floatPointer)
        let sums = columnSums(rows: rows, columns: 2 * columns) { table, row, sums in
            let at = row * columns
            withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { buffer in
                guard let d = buffer.baseAddress else { return }
                table.add_scaled(Int64(columns), input + at, -1, center, d)
                table.add_scaled(Int64(columns), sums, 1, dy + at, sums)
                table.add_product(Int64(columns), dy + at, d, sums + columns)
            }
        }.floats
        let dbias = Array(sums[..<columns])
        let dweight = zip(sums[columns...], inverse).map { $0 * $1 }
        pass.add(Tensor(dweight, shape: weight.shape), to: weight)
        pass.add(Tensor(dbias, shape: bias.shape), to: bias)
        guard x.node != nil else { return }
        // dx = scale (dy - dbias / rows - normal dweight / rows), column by column a dy + s x + t.
        let slope = scale.indices.map { -scale[$0] * inverse[$0] * dweight[$0] / Float(rows) }
        let offset = scale.indices.map { -scale[$0] * dbias[$0] / Float(rows) - slope[$0] * means[$0] }
        let (result, dx) = Tensor.uninitialized(shape: x.shape)
        let context = ComputeContext.current
        let table = context.table
        let n = Int64(columns)
        context.forEachRows(rows, columns: columns) { range in
            for at in range.map({ $0 * columns }) {
                table.multiply(n, dy + at, scale, dx + at)
                table.add_product(n, input + at, slope, dx + at)
                table.add_scaled(n, dx + at, 1, offset, dx + at)
            }
        }
        pass.add(result, to: x)
    }
    return (recorded, mean, variance)
}

extension Tensor {
    /// Column c multiplied by `scale[c]` and moved by `shift[c]`, both float32 constants `[C]`.
    public func affine(scale: Tensor, shift: Tensor) -> Tensor {
        precondition(scale.count == columns && shift.count == columns, "\(scale.shape) for \(shape)")
        let context = ComputeContext.current
        let table = context.table
        let (x, a, b, columns) = (floatPointer, scale.floatPointer, shift.floatPointer, columns)
        let (result, y) = Tensor.uninitialized(shape: shape)
        context.forEachRows(rows, columns: columns) { range in
            for at in range.map({ $0 * columns }) {
                table.multiply(Int64(columns), x + at, a, y + at)
                table.add_scaled(Int64(columns), y + at, 1, b, y + at)
            }
        }
        guard isTracking(self) else { return result }
        return result.recorded(from: [self]) { [node] gradient, pass in
            pass.add(gradient.scaledColumns(by: scale), to: node)
        }
    }
}
