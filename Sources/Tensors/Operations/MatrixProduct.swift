package import CKernels

/// A function applied to every element of a product.
public enum Activation: Sendable {
    case identity
    /// x/2 (1 + erf(x/√2)), the exact GELU.
    case gelu
    /// x sigmoid(1.702 x), CLIP's approximation.
    case quickGELU
    /// x sigmoid(x).
    case silu
    /// max(x, 0).
    case relu

    package var kernel: vlm_activation {
        switch self {
        case .identity: VLM_IDENTITY
        case .gelu: VLM_GELU
        case .quickGELU: VLM_QUICK_GELU
        case .silu: VLM_SILU
        case .relu: VLM_RELU
        }
    }
}

/// How the weight of a product lies in memory.
public enum WeightLayout: Sendable {
    /// `[out, in]`, as linear layers store it: y = x wᵀ.
    case outIn
    /// `[in, out]`, as plain matrices are: y = x w.
    case inOut
}

/// activation(x w + bias) + residual, the product of every row of `x` with a weight matrix.
///
/// The weight is read in the type it is stored in and widened to float32 in registers or, from blocks, in scratch of a
/// few kilobytes; nothing is kept.
/// - Parameters:
///   - x: float32 `[..., in]`.
///   - weight: `[out, in]` or `[in, out]` by `layout`; float32, bfloat16, float16 or, as `[out, in]`, block-quantised.
///   - bias: float32 `[out]`.
///   - residual: what is added at the end, float32 `[..., out]`.
///   - isRowInvariant: whether a row's bytes must be the same however many rows there are; the fastest form for few
///     rows sums in another order.
/// - Returns: float32 `[..., out]`.
/// - Complexity: O(rows · in · out) multiply-adds.
public func product(
    _ x: Tensor, _ weight: Tensor, layout: WeightLayout = .outIn, bias: Tensor? = nil,
    activation: Activation = .identity, residual: Tensor? = nil, isRowInvariant: Bool = false
) -> Tensor {
    let depth = x.columns
    let (columns, inner) = layout == .outIn ? (weight.shape[0], weight.shape[1]) : (weight.shape[1], weight.shape[0])
    precondition(weight.rank == 2 && inner == depth, "product of \(x.shape) with \(weight.shape), \(layout)")
    precondition(layout == .outIn || !weight.elementType.isBlockQuantized, "blocks of \(weight.shape), \(layout)")
    precondition(bias == nil || bias?.count == columns, "bias \(bias?.shape ?? []) for \(columns) columns")
    precondition(residual.map { $0.count == x.rows * columns } ?? true, "residual \(residual?.shape ?? [])")

    if let residual, isTracking(x, weight, bias) || isTracking(residual) {
        let y = product(
            x, weight, layout: layout, bias: bias, activation: activation, isRowInvariant: isRowInvariant)
        return residual + y
    }
    let isRecorded = isTracking(x, weight, bias)
    if isRecorded && activation != .identity {
        // The way back needs what the activation was applied to.
        return product(x, weight, layout: layout, bias: bias, isRowInvariant: isRowInvariant).activated(by: activation)
    }
    let (result, c) = Tensor.uninitialized(shape: x.shape.dropLast() + [columns])
    var call = vlm_product(
        rows: Int64(x.rows), columns: Int64(columns), depth: Int64(depth), a: x.floatPointer, lda: Int64(depth),
        w: weight.rawPointer, w_type: weight.kernelStorage, w_layout: layout == .outIn ? VLM_OUT_IN : VLM_IN_OUT,
        ldw: Int64(weight.shape[1]), c: c, ldc: Int64(columns),
        epilogue: vlm_epilogue(bias: bias, activation, residual: residual, columns: columns),
        row_invariant: isRowInvariant ? 1 : 0, accumulate: 0)
    run(&call, bytesRead: weight.byteCount)
    return isRecorded ? result.recordedProduct(x, weight, layout, bias) : result
}

extension vlm_epilogue {
    /// Nothing after the sums.
    package static var none: vlm_epilogue { vlm_epilogue(bias: nil, .identity, residual: nil, columns: 0) }

    /// What follows the sums of a product of so many columns; the tensors must outlive it.
    init(bias: Tensor?, _ activation: Activation, residual: Tensor?, columns: Int) {
        self.init(
            bias: bias?.floatPointer, activation: activation.kernel, factor: nil, residual: residual?.floatPointer,
            ldr: Int64(columns))
    }
}

/// Runs a product, its columns split over the threads of the current context.
/// - Parameter bytesRead: bytes of the weight, to be counted; ways back do not say.
func run(_ call: inout vlm_product, bytesRead: Int = 0) {
    let context = ComputeContext.current
    context.operations?.add(multiplyAdds: Int(call.rows * call.columns * call.depth), bytesRead: bytesRead)
    let kernels = context.kernels.table
    let columns = Int(call.columns)
    let perTask = Int(vlm_product_task_columns(kernels))
    let scratchFloats = vlm_product_scratch(kernels)
    withUnsafePointer(to: call) { call in
        context.pool.run((columns + perTask - 1) / perTask, scratch: scratchFloats) { task, scratch in
            let first = task * perTask
            vlm_product_columns(kernels, call, Int64(first), Int64(min(columns, first + perTask)), scratch)
        }
    }
}

/// The plain product, the oracle of `product`.
public func productReference(
    _ x: Tensor, _ weight: Tensor, layout: WeightLayout = .outIn, bias: Tensor? = nil
) -> Tensor {
    let depth = x.columns
    let columns = layout == .outIn ? weight.shape[0] : weight.shape[1]
    let (a, w, b) = (x.floats, weight.floats, bias?.floats)
    return Tensor(shape: x.shape.dropLast() + [columns]) { c in
        for row in 0..<x.rows {
            for j in 0..<columns {
                var sum = 0.0
                for k in 0..<depth {
                    let weight = layout == .outIn ? w[j * depth + k] : w[k * columns + j]
                    sum += Double(a[row * depth + k]) * Double(weight)
                }
                c[row * columns + j] = Float(sum + Double(b?[j] ?? 0))
            }
        }
    }
}
