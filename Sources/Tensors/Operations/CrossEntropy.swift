import CKernels

/// Σ -log softmax(logits)[target] over the rows, `[1]`.
/// - Parameters:
///   - logits: float32 `[N, V]`.
///   - targets: N indices in `0..<V`.
public func crossEntropy(_ logits: Tensor, targets: [Int]) -> Tensor {
    precondition(logits.rows == targets.count, "\(logits.shape) for \(targets.count) targets")
    precondition(targets.allSatisfy { 0 <= $0 && $0 < logits.columns }, "a target is outside 0..<\(logits.columns)")
    let context = ComputeContext.current
    let kernels = context.kernels.table
    let (x, columns) = (logits.floatPointer, logits.columns)
    // softmax - onehot of every row, the whole gradient but for a factor.
    let (slopes, gradient) = Tensor.uninitialized(shape: logits.shape)
    let (losses, loss) = Tensor.uninitialized(shape: [targets.count])
    context.forEachRows(targets.count, columns: columns) { range in
        for row in range {
            let at = row * columns
            loss[row] = vlm_cross_entropy(kernels, Int64(columns), x + at, Int64(targets[row]), gradient + at)
        }
    }
    let total = losses.withFloats { $0.reduce(0.0) { $0 + Double($1) } }
    let result = Tensor([Float(total)], shape: [1])
    guard isTracking(logits) else { return result }
    return result.recorded(from: [logits]) { [node = logits.node] scale, pass in
        pass.add(slopes.scaled(by: scale.floatPointer[0]), to: node)
    }
}
