import CKernels

// The ways back of the two products that attention by a table consists of, head by head.

extension Tensor {
    /// Of scores `[heads, Nq, Nk]` = q kᵀ: dq = ds · k, dk = dsᵀ · q.
    func recordedHeadwiseScores(queries: Tensor, keys: Tensor, heads: Int) -> Tensor {
        recorded(from: [queries, keys]) { ds, pass in
            let (width, headSize) = (queries.columns, queries.columns / heads)
            let (rows, columns) = (queries.rows, keys.rows)
            pass.accumulate(into: queries.node) { dq, accumulates in
                for head in 0..<heads {
                    var call = vlm_product(
                        rows: Int64(rows), columns: Int64(headSize), depth: Int64(columns),
                        a: ds.floatPointer + head * rows * columns, lda: Int64(columns),
                        w: keys.floatPointer + head * headSize, w_type: VLM_F32, w_layout: VLM_IN_OUT,
                        ldw: Int64(width), c: dq + head * headSize, ldc: Int64(width), epilogue: .none,
                        row_invariant: 0, accumulate: accumulates ? 1 : 0)
                    run(&call)
                }
            }
            pass.accumulate(into: keys.node) { dk, accumulates in
                for head in 0..<heads {
                    var call = vlm_outer(
                        rows: Int64(columns), columns: Int64(headSize), depth: Int64(rows),
                        a: ds.floatPointer + head * rows * columns, lda: Int64(columns),
                        b: queries.floatPointer + head * headSize, ldb: Int64(width), c: dk + head * headSize,
                        ldc: Int64(width), accumulate: accumulates ? 1 : 0)
                    run(&call)
                }
            }
        }
    }

    /// Of the first rows of table · values: dtable = dy · valuesᵀ, 0 in the other rows; dvalues = tableᵀ · dy.
    func recordedWeightedValues(_ table: Tensor, _ values: Tensor) -> Tensor {
        recorded(from: [table, values]) { dy, pass in
            let (heads, total, keys, width) = (table.shape[0], table.shape[1], table.shape[2], values.columns)
            let (rows, headSize) = (dy.rows, width / heads)
            pass.accumulate(into: table.node) { dtable, accumulates in
                if !accumulates { dtable.update(repeating: 0, count: table.count) }
                for head in 0..<heads {
                    var call = vlm_product(
                        rows: Int64(rows), columns: Int64(keys), depth: Int64(headSize),
                        a: dy.floatPointer + head * headSize, lda: Int64(width),
                        w: values.floatPointer + head * headSize, w_type: VLM_F32, w_layout: VLM_OUT_IN,
                        ldw: Int64(width), c: dtable + head * total * keys, ldc: Int64(keys), epilogue: .none,
                        row_invariant: 0, accumulate: 1)
                    run(&call)
                }
            }
            pass.accumulate(into: values.node) { dvalues, accumulates in
                for head in 0..<heads {
                    var call = vlm_outer(
                        rows: Int64(keys), columns: Int64(headSize), depth: Int64(rows),
                        a: table.floatPointer + head * total * keys, lda: Int64(keys),
                        b: dy.floatPointer + head * headSize, ldb: Int64(width), c: dvalues + head * headSize,
                        ldc: Int64(width), accumulate: accumulates ? 1 : 0)
                    run(&call)
                }
            }
        }
    }
}
