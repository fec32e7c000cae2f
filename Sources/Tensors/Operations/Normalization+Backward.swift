import CKernels

// The ways back of the normalisations. What a block of rows gives to the weights is gathered apart and added in the
// order of the blocks, so the bytes do not depend on the threads.

extension Tensor {
    func recordedLayerNorm(_ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ epsilon: Float) -> Tensor {
        recorded(from: [x, weight, bias]) { gradient, pass in
            let w = weight.floatPointer
            let n = x.columns
            normalizationBackward(pass, x, gradient, weights: [weight, bias]) { table, x, dy, dx, accumulates, sums in
                table.layer_norm_backward(
                    Int64(n), x, w, epsilon, dy, dx, accumulates ? 1 : 0, sums, sums.map { $0 + n })
            }
        }
    }

    func recordedRMSNorm(_ x: Tensor, _ weight: Tensor, _ epsilon: Float) -> Tensor {
        recorded(from: [x, weight]) { gradient, pass in
            let w = weight.floatPointer
            let n = x.columns
            normalizationBackward(pass, x, gradient, weights: [weight]) { table, x, dy, dx, accumulates, sums in
                table.rms_norm_backward(Int64(n), x, w, epsilon, dy, dx, accumulates ? 1 : 0, sums)
            }
        }
    }

    func recordedSoftmax(of x: Tensor) -> Tensor {
        let y = self
        return recorded(from: [x]) { gradient, pass in
            let context = ComputeContext.current
            let table = context.table
            let (probabilities, dy, columns) = (y.floatPointer, gradient.floatPointer, y.columns)
            let (result, dx) = Tensor.uninitialized(shape: y.shape)
            context.forEachRows(y.rows, columns: columns) { range in
                for row in range.map({ $0 * columns }) {
                    table.softmax_backward(Int64(columns), probabilities + row, dy + row, dx + row)
                }
            }
            pass.add(result, to: x.node)
        }
    }
}

/// The way back of a normalisation by rows.
/// - Parameters:
///   - weights: those applied after it, `[D]` each.
///   - kernel: one row; adds to the gradients of the weights, one behind the other, unless they are nil.
private func normalizationBackward(
    _ pass: GradientPass, _ x: Tensor, _ gradient: Tensor, weights: [Tensor],
    _ kernel: (
        vlm_kernels, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>?,
        _ accumulates: Bool, _ sums: UnsafeMutablePointer<Float>?
    ) -> Void
) {
    let (input, dy, columns) = (x.floatPointer, gradient.floatPointer, x.columns)
    func run(_ dx: UnsafeMutablePointer<Float>?, _ accumulates: Bool) {
        if weights.allSatisfy({ $0.node == nil }) {
            let context = ComputeContext.current
            let table = context.table
            context.forEachRows(x.rows, columns: columns) { range in
                for at in range.map({ $0 * columns }) {
                    kernel(table, input + at, dy + at, dx.map { $0 + at }, accumulates, nil)
                }
            }
            return
        }
        let sums = columnSums(rows: x.rows, columns: columns * weights.count) { table, row, sums in
            let at = row * columns
            kernel(table, input + at, dy + at, dx.map { $0 + at }, accumulates, sums)
        }
        for (index, weight) in weights.enumerated() {
            pass.add(sums[index * columns..<(index + 1) * columns], to: weight.node)
        }
    }
    if x.node == nil { run(nil, false) } else { pass.accumulate(into: x.node, run) }
}
