import CKernels

/// (x - mean) / √(variance + ε) · weight + bias over the last dimension.
/// - Parameters:
///   - x: float32 `[..., D]`.
///   - weight: float32 `[D]`.
///   - bias: float32 `[D]`.
public func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float) -> Tensor {
    precondition(weight.count == x.columns && bias.count == x.columns, "layerNorm of \(x.shape) by \(weight.shape)")
    let (w, b) = (weight.floatPointer, bias.floatPointer)
    let result = mapRows(x) { kernels, n, x, y in kernels.layer_norm(n, x, w, b, epsilon, y) }
    return isTracking(x, weight, bias) ? result.recordedLayerNorm(x, weight, bias, epsilon) : result
}

/// x / √(mean(x²) + ε) · weight over the last dimension.
/// - Parameters:
///   - x: float32 `[..., D]`.
///   - weight: float32 `[D]`.
public func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float) -> Tensor {
    precondition(weight.count == x.columns, "rmsNorm of \(x.shape) by \(weight.shape)")
    let w = weight.floatPointer
    let result = mapRows(x) { kernels, n, x, y in kernels.rms_norm(n, x, w, epsilon, y) }
    return isTracking(x, weight) ? result.recordedRMSNorm(x, weight, epsilon) : result
}

/// eˣ / Σ eˣ over the last dimension.
public func softmax(_ x: Tensor) -> Tensor {
    let result = mapRows(x) { kernels, n, x, y in
        y.update(from: x, count: Int(n))
        kernels.softmax(n, y)
    }
    return isTracking(x) ? result.recordedSoftmax(of: x) : result
}

private func mapRows(
    _ x: Tensor, _ kernel: (vlm_kernels, Int64, UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void
) -> Tensor {
    let context = ComputeContext.current
    let table = context.table
    let (input, columns) = (x.floatPointer, x.columns)
    let (result, output) = Tensor.uninitialized(shape: x.shape)
    context.forEachRows(x.rows, columns: columns) { range in
        for row in range { kernel(table, Int64(columns), input + row * columns, output + row * columns) }
    }
    return result
}
