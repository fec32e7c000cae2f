import CKernels

extension Tensor {
    /// The way back of attention: probabilities are computed again from the log-sum-exp, block by block.
    ///
    /// Queries are split into a fixed number of parts, whatever the threads; what each part gives to keys and values is
    /// gathered apart and added in the order of the parts.
    func recordedAttention(
        queries: Tensor, keys: Tensor, values: Tensor, heads: Int, keyValueHeads: Int, mask: AttentionMask,
        logSumExp: Tensor
    ) -> Tensor {
        let output = self
        return recorded(from: [queries, keys, values]) { gradient, pass in
            let gradients = attentionGradients(
                AttentionShape(
                    queries: queries, keyRows: keys.rows, heads: heads, keyValueHeads: keyValueHeads, mask: mask),
                queries: queries, keys: keys, values: values, output: output, logSumExp: logSumExp, gradient: gradient)
            pass.add(gradients.queries, to: queries.node)
            pass.add(gradients.keys, to: keys.node)
            pass.add(gradients.values, to: values.node)
        }
    }
}

/// Parts that the work of all heads is split into, at least: enough for the threads of any machine this runs on to share
/// it evenly, and few enough for the parts' own sums to stay small.
private let wantedParts = 16

private func attentionGradients(
    _ shape: AttentionShape, queries: Tensor, keys: Tensor, values: Tensor, output: Tensor, logSumExp: Tensor,
    gradient: Tensor
) -> (queries: Tensor, keys: Tensor, values: Tensor) {
    let (total, headSize, heads) = (queries.rows, shape.headSize, shape.keyValueHeads)
    let context = ComputeContext.current
    let kernels = context.kernels.table
    let (queryGradient, dq) = Tensor.uninitialized(shape: queries.shape)
    let (keyGradient, dk) = Tensor.uninitialized(shape: keys.shape)
    let (valueGradient, dv) = Tensor.uninitialized(shape: values.shape)
    let (out, dy, lse) = (output.floatPointer, gradient.floatPointer, logSumExp.floatPointer)
    let (q, k, v) = (queries.floatPointer, keys.floatPointer, values.floatPointer)

    shape.withBounds { bounds in
        func call(head: Int) -> vlm_attention_backward {
            let offset = head * shape.group * headSize
            var forward = shape.call(bounds, head: head, q: q, k: k, v: v)
            // Only read here.
            forward.output = UnsafeMutablePointer(mutating: out) + offset
            forward.log_sum_exp = UnsafeMutablePointer(mutating: lse) + head * shape.group * total
            return vlm_attention_backward(forward: forward, output_gradient: dy + offset, q_gradient: dq + offset)
        }
        let calls = (0..<heads).map(call)
        guard let first = calls.first else { return }
        let scratchFloats = withUnsafePointer(to: first) { vlm_attention_backward_scratch(kernels, $0) }

        // A part is a head's queries from one bound to the next, with room for the keys they see.
        let perHead = max(1, min((wantedParts + heads - 1) / heads, (total + 127) / 128))
        let bound = (0...perHead).map { $0 * total / perHead }
        let hulls = (0..<perHead).map { part -> Range<Int> in
            var (low, high): (Int64, Int64) = (0, 0)
            withUnsafePointer(to: first.forward) {
                vlm_attention_visible($0, Int64(bound[part]), Int64(bound[part + 1]), &low, &high)
            }
            return Int(low)..<Int(high)
        }
        let offsets = hulls.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.count * headSize) }
        let headFloats = offsets[perHead]
        let parts = Scratch(2 * heads * headFloats)
        let sums = parts.floats
        context.pool.run(heads * perHead) { task in
            let (head, part) = (task / perHead, task % perHead)
            let scratch = Scratch(scratchFloats)
            let own = sums + 2 * (head * headFloats + offsets[part])
            let count = hulls[part].count * headSize
            own.update(repeating: 0, count: 2 * count)
            withUnsafePointer(to: calls[head]) {
                vlm_attention_backward_queries(
                    kernels, $0, Int64(bound[part]), Int64(bound[part + 1]), Int64(hulls[part].lowerBound), own,
                    own + count, scratch.floats)
            }
        }
        // Row by row, so that heads lie beside each other again.
        let width = keys.columns
        context.forEachRows(keys.rows, columns: width) { rows in
            for row in rows {
                for head in 0..<heads {
                    let at = row * width + head * headSize
                    (dk + at).update(repeating: 0, count: headSize)
                    (dv + at).update(repeating: 0, count: headSize)
                    for part in 0..<perHead where hulls[part].contains(row) {
                        let own = sums + 2 * (head * headFloats + offsets[part])
                        let source = own + (row - hulls[part].lowerBound) * headSize
                        let n = Int64(headSize)
                        let add = kernels.pointee.add_scaled
                        add?(n, dk + at, 1, source, dk + at)
                        add?(n, dv + at, 1, source + hulls[part].count * headSize, dv + at)
                    }
                }
            }
        }
    }
    return (queryGradient, keyGradient, valueGradient)
}
