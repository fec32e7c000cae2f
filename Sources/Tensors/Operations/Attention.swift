import CKernels
import Foundation

/// Which keys each query sees.
public enum AttentionMask: Sendable {
    /// Every key.
    case full
    /// Query i of Nq sees keys up to i + Nk - Nq: causal, aligned at the last query and the last key.
    case causal
    /// Query i sees keys `visible[i]`.
    case ranges([Range<Int>])

    /// First and end key of each query; nil where the kernel's default, all keys, holds.
    func bounds(queries: Int, keys: Int) -> (first: [Int64]?, end: [Int64]?) {
        switch self {
        case .full: (nil, nil)
        case .causal: (nil, (0..<queries).map { Int64(max(0, $0 + 1 + keys - queries)) })
        case .ranges(let visible): (visible.map { Int64($0.lowerBound) }, visible.map { Int64($0.upperBound) })
        }
    }
}

/// Multi-head attention softmax(q kᵀ / √d) v with grouped queries, by FlashAttention-2.
///
/// Query head h reads key/value head h / (heads / keyValueHeads). No matrix of Nq x Nk scores is ever stored.
/// - Parameters:
///   - queries: `[Nq, heads · d]`.
///   - keys: `[Nk, keyValueHeads · d]`.
///   - values: `[Nk, keyValueHeads · d]`.
///   - mask: the keys each query sees; a query that sees none gives 0.
/// - Returns: `[Nq, heads · d]`.
/// - Complexity: O(Nq · Nk · heads · d) multiply-adds, O(d) memory a query.
///
/// Source: FlashAttention-2 (arXiv 2307.08691), algorithm 1.
public func attention(
    queries: Tensor, keys: Tensor, values: Tensor, heads: Int, keyValueHeads: Int, mask: AttentionMask
) -> Tensor {
    precondition(keys.shape == values.shape, "keys \(keys.shape), values \(values.shape)")
    return attention(
        queries: queries, keys: keys.floatPointer, values: values.floatPointer, count: keys.rows, heads: heads,
        keyValueHeads: keyValueHeads, mask: mask, logSumExp: nil)
}

/// The same attention over the keys and values of a cache.
public func attention(
    queries: Tensor, keys: RowBuffer, values: RowBuffer, heads: Int, keyValueHeads: Int, mask: AttentionMask
) -> Tensor {
    precondition(keys.count == values.count, "\(keys.count) keys, \(values.count) values")
    return withExtendedLifetime((keys, values)) {
        attention(
            queries: queries, keys: keys.floats, values: values.floats, count: keys.count, heads: heads,
            keyValueHeads: keyValueHeads, mask: mask, logSumExp: nil)
    }
}

/// The attention above together with the log-sum-exp of each query's scaled scores, which a backward pass needs.
/// - Returns: the output `[Nq, heads · d]` and the log-sum-exp `[heads, Nq]`, -∞ for a query that sees no key.
public func attentionWithLogSumExp(
    queries: Tensor, keys: Tensor, values: Tensor, heads: Int, keyValueHeads: Int, mask: AttentionMask
) -> (output: Tensor, logSumExp: Tensor) {
    let (logSumExp, pointer) = Tensor.uninitialized(shape: [heads, queries.rows])
    let output = attention(
        queries: queries, keys: keys.floatPointer, values: values.floatPointer, count: keys.rows, heads: heads,
        keyValueHeads: keyValueHeads, mask: mask, logSumExp: pointer)
    return (output, logSumExp)
}

private func attention(
    queries: Tensor, keys: UnsafePointer<Float>, values: UnsafePointer<Float>, count: Int, heads: Int,
    keyValueHeads: Int, mask: AttentionMask, logSumExp: UnsafeMutablePointer<Float>?
) -> Tensor {
    let headSize = queries.columns / heads
    let group = heads / keyValueHeads
    precondition(headSize * heads == queries.columns && group * keyValueHeads == heads, "\(queries.shape), \(heads)")
    let context = ComputeContext.current
    let kernels = context.kernels.table
    let (q, total) = (queries.floatPointer, queries.rows)
    let (queryStride, keyStride) = (Int64(queries.columns), Int64(keyValueHeads * headSize))
    let bounds = mask.bounds(queries: total, keys: count)
    let (result, output) = Tensor.uninitialized(shape: queries.shape)

    bounds.first.withPointer { firstKey in
        bounds.end.withPointer { endKey in
            func call(head: Int) -> vlm_attention {
                let (queryOffset, keyOffset) = (head * group * headSize, head * headSize)
                return vlm_attention(
                    head_size: Int64(headSize), group: Int64(group), queries: Int64(total), keys: Int64(count),
                    q: q + queryOffset, ldq: queryStride, k: keys + keyOffset, v: values + keyOffset, ldk: keyStride,
                    ldv: keyStride, output: output + queryOffset, ldo: queryStride,
                    scale: 1 / Float(headSize).squareRoot(), first_key: firstKey, end_key: endKey,
                    log_sum_exp: logSumExp.map { $0 + head * group * total }, ldl: Int64(total))
            }
            var first = call(head: 0)
            let perTask = Int(vlm_attention_task_queries(&first))
            let scratchFloats = vlm_attention_scratch(kernels, &first)
            let blocks = (total + perTask - 1) / perTask
            context.pool.run(keyValueHeads * blocks) { task in
                let scratch = Scratch(scratchFloats)
                let start = task % blocks * perTask
                var call = call(head: task / blocks)
                vlm_attention_queries(
                    kernels, &call, Int64(start), Int64(min(total, start + perTask)), scratch.floats)
            }
        }
    }
    return result
}

extension Optional where Wrapped == [Int64] {
    /// Gives `body` the first element of the array, or nil.
    fileprivate func withPointer<Result>(_ body: (UnsafePointer<Int64>?) -> Result) -> Result {
        guard let self else { return body(nil) }
        return self.withUnsafeBufferPointer { body($0.baseAddress) }
    }
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
            let visible = Int(bounds.first?[i] ?? 0)..<Int(bounds.end?[i] ?? Int64(count))
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
