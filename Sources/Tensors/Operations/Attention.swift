import CKernels
import Foundation

/// Multi-head attention softmax(q kᵀ / √d) v with grouped queries, by FlashAttention-2.
///
/// Query head h reads key/value head h / (heads / keyValueHeads). No matrix of Nq x Nk scores is ever stored.
/// - Parameters:
///   - queries: `[Nq, heads · d]`.
///   - keys: `[Nk, keyValueHeads · d]`.
///   - values: `[Nk, keyValueHeads · d]`.
///   - mask: the keys each query sees; a query that sees none gives 0.
///   - mayRound: whether the factors of products may be rounded to integers of 11 to 16 bits, where the processor is faster
///     with these and nobody wants gradients. The softmax is float32 always.
/// - Returns: `[Nq, heads · d]`.
/// - Complexity: O(Nq · Nk · heads · d) multiply-adds, O(d) memory a query.
///
/// Source: FlashAttention-2 (arXiv 2307.08691), algorithm 1.
public func attention(
    queries: Tensor, keys: Tensor, values: Tensor, heads: Int, keyValueHeads: Int, mask: AttentionMask,
    mayRound: Bool = false
) -> Tensor {
    precondition(keys.shape == values.shape, "keys \(keys.shape), values \(values.shape)")
    var shape = AttentionShape(
        queries: queries, keyRows: keys.rows, heads: heads, keyValueHeads: keyValueHeads, mask: mask)
    shape.mayRound = mayRound
    guard isTracking(queries, keys, values) else {
        return attention(queries, keys.floatPointer, values.floatPointer, shape, logSumExp: nil)
    }
    let (output, logSumExp) = attentionWithLogSumExp(
        queries: queries, keys: keys, values: values, heads: heads, keyValueHeads: keyValueHeads, mask: mask)
    return output.recordedAttention(
        queries: queries, keys: keys, values: values, heads: heads, keyValueHeads: keyValueHeads, mask: mask,
        logSumExp: logSumExp)
}

/// The same attention over the keys and values of a cache, which no gradient flows back to.
public func attention(
    queries: Tensor, keys: RowBuffer, values: RowBuffer, heads: Int, keyValueHeads: Int, mask: AttentionMask,
    mayRound: Bool = false
) -> Tensor {
    precondition(keys.count == values.count, "\(keys.count) keys, \(values.count) values")
    var shape = AttentionShape(
        queries: queries, keyRows: keys.count, heads: heads, keyValueHeads: keyValueHeads, mask: mask)
    shape.mayRound = mayRound
    return withExtendedLifetime((keys, values)) {
        attention(queries, keys.floats, values.floats, shape, logSumExp: nil)
    }
}

/// The attention above together with the log-sum-exp of each query's scaled scores, which a backward pass needs.
/// - Returns: the output `[Nq, heads · d]` and the log-sum-exp `[heads, Nq]`, -∞ for a query that sees no key.
public func attentionWithLogSumExp(
    queries: Tensor, keys: Tensor, values: Tensor, heads: Int, keyValueHeads: Int, mask: AttentionMask
) -> (output: Tensor, logSumExp: Tensor) {
    let (logSumExp, pointer) = Tensor.uninitialized(shape: [heads, queries.rows])
    let shape = AttentionShape(
        queries: queries, keyRows: keys.rows, heads: heads, keyValueHeads: keyValueHeads, mask: mask)
    let output = attention(queries, keys.floatPointer, values.floatPointer, shape, logSumExp: pointer)
    return (output, logSumExp)
}

private func attention(
    _ queries: Tensor, _ keys: UnsafePointer<Float>, _ values: UnsafePointer<Float>, _ shape: AttentionShape,
    logSumExp: UnsafeMutablePointer<Float>?
) -> Tensor {
    let context = ComputeContext.current
    let kernels = context.kernels.table
    let (q, total, heads) = (queries.floatPointer, queries.rows, shape.keyValueHeads)
    let (result, output) = Tensor.uninitialized(shape: queries.shape)
    shape.withBounds { bounds in
        func call(head: Int) -> vlm_attention {
            var call = shape.call(bounds, head: head, q: q, k: keys, v: values)
            call.output = output + head * shape.group * shape.headSize
            call.log_sum_exp = logSumExp.map { $0 + head * shape.group * total }
            return call
        }
        var first = call(head: 0)
        // Scores, and values weighted by them.
        context.operations?.add(
            multiplyAdds: 2 * shape.visiblePairs * queries.columns, ofPairs: vlm_attention_rounds(kernels, &first) != 0,
            bytesRead: 2 * shape.keys * shape.keyValueHeads * shape.headSize * 4)
        // Four tasks for each thread, so that none waits long for the last.
        let perTask = Int(vlm_attention_task_queries(&first, Int64(4 * context.pool.threadCount / heads)))
        let scratchFloats = vlm_attention_scratch(kernels, &first, Int64(min(total, perTask)))
        let parts = Int(vlm_attention_parts(&first))
        guard parts == 1 else {
            let floats = parts * Int(vlm_attention_part_floats(&first))
            let (sums, base) = Tensor.uninitialized(shape: [heads, floats])
            withExtendedLifetime(sums) {
                context.pool.run(heads * parts, scratch: scratchFloats) { task, scratch in
                    var call = call(head: task / parts)
                    vlm_attention_part(kernels, &call, Int64(task % parts), base + task / parts * floats, scratch)
                }
                for head in 0..<heads {
                    var call = call(head: head)
                    vlm_attention_join(kernels, &call, Int64(parts), base + head * floats)
                }
            }
            return
        }
        let blocks = (total + perTask - 1) / perTask
        context.pool.run(heads * blocks, scratch: scratchFloats) { task, scratch in
            let start = task % blocks * perTask
            var call = call(head: task / blocks)
            vlm_attention_queries(kernels, &call, Int64(start), Int64(min(total, start + perTask)), scratch)
        }
    }
    return result
}

/// The plain attention, the oracle of `attention`: every score stored, in double precision.
public func attentionReference(
    queries: Tensor, keys: Tensor, values: Tensor, heads: Int, keyValueHeads: Int, mask: AttentionMask
) -> Tensor {
    let (q, k, v) = (queries.floats, keys.floats, values.floats)
    let (total, count, headSize, group) = (queries.rows, keys.rows, queries.columns / heads, heads / keyValueHeads)
    let (width, keyWidth) = (queries.columns, keys.columns)
    let bounds = mask.bounds(queries: total, keys: count)
    return Tensor(shape: queries.shape) { output in
        output.update(repeating: 0)
        for i in 0..<total {
            var visible = Array(Int(bounds.first?[i] ?? 0)..<max(0, Int(bounds.end?[i] ?? Int64(count))))
            if let first = bounds.ownFirst, let end = bounds.ownEnd { visible += Int(first[i])..<Int(end[i]) }
            for head in 0..<heads where !visible.isEmpty {
                let (qOffset, kOffset) = (i * width + head * headSize, head / group * headSize)
                let scores = visible.map { j in
                    (0..<headSize).reduce(0.0) { $0 + Double(q[qOffset + $1]) * Double(k[j * keyWidth + kOffset + $1]) }
                        / Double(headSize).squareRoot()
                }
                let maximum = scores.max() ?? 0
                let weights = scores.map { exp($0 - maximum) }
                let sum = weights.reduce(0, +)
                for c in 0..<headSize {
                    let value = zip(visible, weights).reduce(0.0) {
                        $0 + $1.1 * Double(v[$1.0 * keyWidth + kOffset + c])
                    }
                    output[qOffset + c] = Float(value / sum)
                }
            }
        }
    }
}
