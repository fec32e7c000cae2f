import CKernels

/// Rotary position embedding of every head: pairs (j, j + d/2) turned by the angle of their position.
/// - Parameters:
///   - x: `[T, heads · d]`.
///   - cosine: cosine of the angles, `[T, d/2]`.
///   - sine: sine of the angles, `[T, d/2]`.
/// - Returns: `[T, heads · d]`.
///
/// Source: RoFormer (arXiv 2104.09864), in the half-split form of Hugging Face's `rotate_half`.
public func rotated(_ x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor {
    let (half, columns) = (cosine.columns, x.columns)
    let headSize = 2 * half
    precondition(x.rows == cosine.rows && columns % headSize == 0, "rotation of \(x.shape) by \(cosine.shape)")
    let context = ComputeContext.current
    let table = context.table
    let (input, c, s) = (x.floatPointer, cosine.floatPointer, sine.floatPointer)
    let (result, output) = Tensor.uninitialized(shape: x.shape)
    context.forEachRows(x.rows, columns: columns) { range in
        for row in range {
            for head in stride(from: row * columns, to: (row + 1) * columns, by: headSize) {
                table.rotate_half(Int64(headSize), input + head, c + row * half, s + row * half, output + head)
            }
        }
    }
    guard isTracking(x) else { return result }
    // The way back turns by the opposite angle.
    return result.recorded(from: [x]) { [node = x.node] gradient, pass in
        pass.add(rotated(gradient, cosine: cosine, sine: sine.scaled(by: -1)), to: node)
    }
}
