import CKernels

/// a + b, element by element.
public func + (a: Tensor, b: Tensor) -> Tensor {
    let result = elementwise(a, b) { kernels, n, a, b, y in kernels.add_scaled(n, a, 1, b, y) }
    return isTracking(a, b) ? result.recordedSum(a, b) : result
}

/// a · b, element by element.
public func * (a: Tensor, b: Tensor) -> Tensor {
    let result = elementwise(a, b) { kernels, n, a, b, y in kernels.multiply(n, a, b, y) }
    return isTracking(a, b) ? result.recordedProduct(a, b) : result
}

/// silu(gate) · up, the gated product of a LLaMA feed-forward layer.
public func siluGated(_ gate: Tensor, _ up: Tensor) -> Tensor {
    let result = elementwise(gate, up) { kernels, n, a, b, y in kernels.silu_gate(n, a, b, y) }
    return isTracking(gate, up) ? result.recordedSiluGate(gate, up) : result
}

private func elementwise(
    _ a: Tensor, _ b: Tensor,
    _ kernel: (vlm_kernels, Int64, UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void
) -> Tensor {
    precondition(a.shape == b.shape, "\(a.shape) and \(b.shape) differ")
    let context = ComputeContext.current
    let table = context.table
    let (left, right) = (a.floatPointer, b.floatPointer)
    let (result, y) = Tensor.uninitialized(shape: a.shape)
    context.forEachRows(a.count, columns: 1) { range in
        let start = range.lowerBound
        kernel(table, Int64(range.count), left + start, right + start, y + start)
    }
    return result
}

extension Tensor {
    /// The activation of every element.
    public func activated(by activation: Activation) -> Tensor {
        let kernel = activation.kernel
        let result = elementwise(self, self) { kernels, n, x, _, y in kernels.activate(kernel, n, x, y) }
        return isTracking(self) ? result.recordedActivation(activation, of: self) : result
    }

    /// Every element multiplied by one factor.
    public func scaled(by factor: Float) -> Tensor {
        let result = elementwise(self, self) { kernels, n, x, _, y in kernels.scale(n, factor, x, y) }
        guard isTracking(self) else { return result }
        return result.recorded(from: [self]) { [node] gradient, pass in
            pass.add(gradient.scaled(by: factor), to: node)
        }
    }

    /// Each row multiplied by its own factor.
    /// - Parameter factors: float32, one factor a row.
    public func scaledRows(by factors: Tensor) -> Tensor {
        precondition(factors.count == rows, "\(factors.count) factors for \(rows) rows")
        let context = ComputeContext.current
        let table = context.table
        let (x, scale, columns) = (floatPointer, factors.floatPointer, columns)
        let (result, y) = Tensor.uninitialized(shape: shape)
        context.forEachRows(rows, columns: columns) { range in
            for row in range {
                table.scale(Int64(columns), scale[row], x + row * columns, y + row * columns)
            }
        }
        return isTracking(self, factors) ? result.recordedRowScaling(of: self, by: factors) : result
    }

    /// Each column multiplied by its own factor.
    /// - Parameter factors: float32, one factor a column.
    public func scaledColumns(by factors: Tensor) -> Tensor {
        precondition(factors.count == columns, "\(factors.count) factors for \(columns) columns")
        let context = ComputeContext.current
        let table = context.table
        let (x, scale, columns) = (floatPointer, factors.floatPointer, columns)
        let (result, y) = Tensor.uninitialized(shape: shape)
        context.forEachRows(rows, columns: columns) { range in
            for row in range {
                table.multiply(Int64(columns), x + row * columns, scale, y + row * columns)
            }
        }
        return isTracking(self, factors) ? result.recordedColumnScaling(of: self, by: factors) : result
    }
}
