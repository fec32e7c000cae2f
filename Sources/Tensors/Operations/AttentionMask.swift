import CKernels

/// Which keys each query sees.
public enum AttentionMask: Sendable {
    /// Every key.
    case full
    /// Query i of Nq sees keys up to i + Nk - Nq: causal, aligned at the last query and the last key.
    case causal
    /// Query i sees keys `visible[i]`.
    case ranges([Range<Int>])
    /// Query i sees keys `prefix[i]` and keys `own[i]`, which begin at or after the end of the prefix: several
    /// questions behind one image, each of which sees the image and itself.
    case prefixed(prefix: [Range<Int>], own: [Range<Int>])

    /// Keys `[first, end)` and `[ownFirst, ownEnd)` of each query; nil where the kernel's default holds.
    struct Bounds {
        var first, end, ownFirst, ownEnd: [Int64]?
    }

    func bounds(queries: Int, keys: Int) -> Bounds {
        func lower(_ ranges: [Range<Int>]) -> [Int64] {
            precondition(ranges.count == queries, "\(ranges.count) ranges for \(queries) queries")
            return ranges.map { Int64($0.lowerBound) }
        }
        func upper(_ ranges: [Range<Int>]) -> [Int64] { ranges.map { Int64($0.upperBound) } }
        switch self {
        case .full: return Bounds()
        case .causal: return Bounds(end: (0..<queries).map { Int64(max(0, $0 + 1 + keys - queries)) })
        case .ranges(let visible): return Bounds(first: lower(visible), end: upper(visible))
        case .prefixed(let prefix, let own):
            precondition(
                zip(prefix, own).allSatisfy { $0.isEmpty || $1.isEmpty || $0.upperBound <= $1.lowerBound },
                "a query's own keys begin before its prefix ends")
            return Bounds(first: lower(prefix), end: upper(prefix), ownFirst: lower(own), ownEnd: upper(own))
        }
    }

    /// The mask among some of the tokens, where queries and keys are the same tokens.
    /// - Parameters:
    ///   - tokens: the tokens that are left, ascending.
    ///   - count: how many there were.
    public func gathered(_ tokens: [Int], of count: Int) -> AttentionMask {
        // before[i]: how many of the tokens left lie before token i.
        var before = [Int](repeating: 0, count: count + 1)
        for token in tokens { before[token + 1] = 1 }
        for index in 1..<before.count { before[index] += before[index - 1] }
        func gathered(_ ranges: [Range<Int>]) -> [Range<Int>] {
            tokens.map { before[ranges[$0].lowerBound]..<before[ranges[$0].upperBound] }
        }
        switch self {
        case .full, .causal: return self
        case .ranges(let visible): return .ranges(gathered(visible))
        case .prefixed(let prefix, let own): return .prefixed(prefix: gathered(prefix), own: gathered(own))
        }
    }
}

/// The extents of an attention and its mask: what its forward pass and its way back are both given.
struct AttentionShape {
    let total, keys, queryWidth, headSize, group, keyValueHeads: Int
    let bounds: AttentionMask.Bounds
    /// Whether factors may be rounded to integers of 16 bits.
    var mayRound = false

    /// The mask's bounds as the kernels take them.
    struct Pointers {
        var first, end, ownFirst, ownEnd: UnsafePointer<Int64>?
    }

    init(queries: Tensor, keyRows: Int, heads: Int, keyValueHeads: Int, mask: AttentionMask) {
        headSize = queries.columns / heads
        group = heads / keyValueHeads
        precondition(
            headSize * heads == queries.columns && group * keyValueHeads == heads, "\(queries.shape), \(heads)")
        (total, keys, queryWidth) = (queries.rows, keyRows, queries.columns)
        self.keyValueHeads = keyValueHeads
        bounds = mask.bounds(queries: total, keys: keyRows)
    }

    /// Pairs of a query and a key it sees.
    var visiblePairs: Int {
        func pairs(_ first: [Int64]?, _ end: [Int64]?, otherwise: Int64) -> Int64 {
            (0..<total).reduce(0) { $0 + max(0, (end?[$1] ?? otherwise) - (first?[$1] ?? 0)) }
        }
        let own = bounds.ownEnd == nil ? 0 : pairs(bounds.ownFirst, bounds.ownEnd, otherwise: 0)
        return Int(pairs(bounds.first, bounds.end, otherwise: Int64(keys)) + own)
    }

    /// Gives `body` the bounds of the mask, good until it returns.
    func withBounds<Result>(_ body: (Pointers) -> Result) -> Result {
        bounds.first.withPointer { first in
            bounds.end.withPointer { end in
                bounds.ownFirst.withPointer { ownFirst in
                    bounds.ownEnd.withPointer { ownEnd in
                        body(Pointers(first: first, end: end, ownFirst: ownFirst, ownEnd: ownEnd))
                    }
                }
            }
        }
    }

    /// The kernel's call for one key/value head, without its output.
    func call(
        _ bounds: Pointers, head: Int, q: UnsafePointer<Float>, k: UnsafePointer<Float>, v: UnsafePointer<Float>
    ) -> vlm_attention {
        let stride = Int64(keyValueHeads * headSize)
        return vlm_attention(
            head_size: Int64(headSize), group: Int64(group), queries: Int64(total), keys: Int64(keys),
            q: q + head * group * headSize, ldq: Int64(queryWidth), k: k + head * headSize, v: v + head * headSize,
            ldk: stride, ldv: stride, output: nil, ldo: Int64(queryWidth), scale: 1 / Float(headSize).squareRoot(),
            may_round: mayRound ? 1 : 0, first_key: bounds.first, end_key: bounds.end, own_first: bounds.ownFirst,
            own_end: bounds.ownEnd,
            log_sum_exp: nil, ldl: Int64(total))
    }
}

extension Optional where Wrapped == [Int64] {
    /// Gives `body` the first element of the array, or nil.
    fileprivate func withPointer<Result>(_ body: (UnsafePointer<Int64>?) -> Result) -> Result {
        guard let self else { return body(nil) }
        return self.withUnsafeBufferPointer { body($0.baseAddress) }
    }
}
