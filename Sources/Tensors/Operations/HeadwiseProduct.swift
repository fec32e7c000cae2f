import CKernels

/// softmax(q kᵀ / √d) of every head, kept as a table: for attention whose weights are the same for every input.
/// - Parameters:
///   - queries: `[Nq, heads · d]`.
///   - keys: `[Nk, heads · d]`.
/// - Returns: `[heads, Nq, Nk]`.
public func attentionTable(queries: Tensor, keys: Tensor, heads: Int) -> Tensor {
    let (width, headSize) = (queries.columns, queries.columns / heads)
    precondition(keys.columns == width && headSize * heads == width, "\(queries.shape), \(keys.shape), \(heads) heads")
    let scaled = queries.scaled(by: 1 / Float(headSize).squareRoot())
    let (scores, c) = Tensor.uninitialized(shape: [heads, queries.rows, keys.rows])
    for head in 0..<heads {
        var call = vlm_product(
            rows: Int64(queries.rows), columns: Int64(keys.rows), depth: Int64(headSize),
            a: scaled.floatPointer + head * headSize, lda: Int64(width), w: keys.floatPointer + head * headSize,
            w_type: VLM_F32, w_layout: VLM_OUT_IN, ldw: Int64(width), c: c + head * queries.rows * keys.rows,
            ldc: Int64(keys.rows), epilogue: .none, row_invariant: 1, accumulate: 0)
        run(&call, bytesRead: keys.rows * headSize * 4)
    }
    return softmax(
        isTracking(scaled, keys) ? scores.recordedHeadwiseScores(queries: scaled, keys: keys, heads: heads) : scores)
}

/// The values weighted by an attention table: row i of head h is Σ_j table[h][i][j] · values[j][h].
///
/// A row's bytes do not depend on how many rows are asked for.
/// - Parameters:
///   - table: `[heads, M, Nk]`.
///   - values: `[Nk, heads · d]`.
///   - rows: how many of the M rows to compute, the first ones.
/// - Returns: `[rows, heads · d]`.
public func weightedValues(_ table: Tensor, _ values: Tensor, rows: Int) -> Tensor {
    let (heads, total, keys, width) = (table.shape[0], table.shape[1], table.shape[2], values.columns)
    precondition(values.rows == keys && rows <= total && width % heads == 0, "\(table.shape), \(values.shape)")
    let headSize = width / heads
    let (result, c) = Tensor.uninitialized(shape: [rows, width])
    for head in 0..<heads {
        var call = vlm_product(
            rows: Int64(rows), columns: Int64(headSize), depth: Int64(keys),
            a: table.floatPointer + head * total * keys, lda: Int64(keys), w: values.floatPointer + head * headSize,
            w_type: VLM_F32, w_layout: VLM_IN_OUT, ldw: Int64(width), c: c + head * headSize, ldc: Int64(width),
            epilogue: .none, row_invariant: 1, accumulate: 0)
        run(&call, bytesRead: keys * (rows + headSize) * 4)
    }
    return isTracking(table, values) ? result.recordedWeightedValues(table, values) : result
}
