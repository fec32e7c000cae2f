package import CKernels

extension Tensor {
    /// The way back of `product`: dx = dy · w, dw += dyᵀ · x, dbias += Σ dy. Weights may be of any type that `product`
    /// reads; only float32 ones are tracked, gradients flow through the others to x.
    func recordedProduct(_ x: Tensor, _ weight: Tensor, _ layout: WeightLayout, _ bias: Tensor?) -> Tensor {
        recorded(from: [x, weight, bias]) { dy, pass in
            let (inputs, outputs) = (x.columns, dy.columns)
            pass.accumulate(into: x.node) { dx, accumulates in
                var call = vlm_product(
                    rows: Int64(dy.rows), columns: Int64(inputs), depth: Int64(outputs), a: dy.floatPointer,
                    lda: Int64(outputs), w: weight.rawPointer, w_type: weight.kernelStorage,
                    w_layout: layout == .outIn ? VLM_IN_OUT : VLM_OUT_IN, ldw: Int64(weight.shape[1]), c: dx,
                    ldc: Int64(inputs), epilogue: .none, row_invariant: 0,
                    accumulate: accumulates ? 1 : 0)
                run(&call)
            }
            pass.accumulate(into: weight.node) { dw, accumulates in
                let (a, b) = layout == .outIn ? (dy, x) : (x, dy)
                var call = vlm_outer(
                    rows: Int64(a.columns), columns: Int64(b.columns), depth: Int64(dy.rows), a: a.floatPointer,
                    lda: Int64(a.columns), b: b.floatPointer, ldb: Int64(b.columns), c: dw, ldc: Int64(b.columns),
                    accumulate: accumulates ? 1 : 0)
                run(&call)
            }
            if let node = bias?.node { pass.add(dy.summedRows, to: node) }
        }
    }

    /// The sum of all rows, `[columns]`. Untracked.
    package var summedRows: Tensor {
        let (x, columns) = (floatPointer, columns)
        return columnSums(rows: rows, columns: columns) { table, row, sums in
            table.add_scaled(Int64(columns), sums, 1, x + row * columns, sums)
        }
    }
}

/// Runs a sum of outer products, its blocks split over the threads of the current context.
package func run(_ call: inout vlm_outer) {
    let context = ComputeContext.current
    let kernels = context.kernels.table
    let (rows, columns) = (Int(call.rows), Int(call.columns))
    let (taskRows, taskColumns) = (Int(vlm_outer_task_rows(kernels)), Int(vlm_outer_task_columns(kernels)))
    let (down, across) = ((rows + taskRows - 1) / taskRows, (columns + taskColumns - 1) / taskColumns)
    let scratchFloats = vlm_outer_scratch(kernels)
    withUnsafePointer(to: call) { call in
        context.pool.run(down * across) { task in
            let scratch = Scratch(scratchFloats)
            let (row, column) = (task / across * taskRows, task % across * taskColumns)
            vlm_outer_block(
                kernels, call, Int64(row), Int64(min(rows, row + taskRows)), Int64(column),
                Int64(min(columns, column + taskColumns)), scratch.floats)
        }
    }
}
