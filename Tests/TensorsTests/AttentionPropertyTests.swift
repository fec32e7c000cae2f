import Tensors
import TestSupport
import Testing

@Suite struct AttentionPropertyTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var queries, keys, heads, keyValueHeads, headSize: Int
        var mask: AttentionMask
        var testDescription: String { "\(queries) x \(keys), \(heads)/\(keyValueHeads) heads of \(headSize), \(mask)" }
    }

    static let cases: [Case] = [
        Case(queries: 1, keys: 1, heads: 1, keyValueHeads: 1, headSize: 8, mask: .full),
        Case(queries: 1, keys: 300, heads: 4, keyValueHeads: 2, headSize: 16, mask: .causal),
        // Few queries over many keys, which are read in parts; some see nothing of a part, or nothing at all.
        Case(queries: 1, keys: 1100, heads: 6, keyValueHeads: 2, headSize: 64, mask: .causal),
        Case(queries: 2, keys: 513, heads: 4, keyValueHeads: 4, headSize: 20, mask: .causal),
        Case(
            queries: 3, keys: 600, heads: 4, keyValueHeads: 2, headSize: 24,
            mask: .ranges([0..<0, 300..<301, 17..<599])),
        Case(
            queries: 2, keys: 900, heads: 2, keyValueHeads: 1, headSize: 16,
            mask: .prefixed(prefix: [0..<100, 0..<530], own: [700..<800, 899..<900])),
        Case(queries: 7, keys: 300, heads: 4, keyValueHeads: 1, headSize: 12, mask: .causal),
        Case(queries: 65, keys: 65, heads: 2, keyValueHeads: 2, headSize: 72, mask: .full),
        Case(queries: 270, keys: 270, heads: 2, keyValueHeads: 1, headSize: 64, mask: .causal),
        Case(
            queries: 6, keys: 9, heads: 2, keyValueHeads: 2, headSize: 8,
            mask: .ranges([0..<3, 2..<9, 4..<4, 0..<9, 8..<9, 1..<2])),
    ]

    @Test("attention equals the plain one for every kernel set", arguments: cases)
    func equalsReference(_ test: Case) {
        let q = Tensor.random([test.queries, test.heads * test.headSize], seed: 1)
        let k = Tensor.random([test.keys, test.keyValueHeads * test.headSize], seed: 2)
        let v = Tensor.random([test.keys, test.keyValueHeads * test.headSize], seed: 3)
        let expected = attentionReference(
            queries: q, keys: k, values: v, heads: test.heads, keyValueHeads: test.keyValueHeads, mask: test.mask)
        for context in ComputeContext.everyKernelSet {
            let got = context.run {
                attention(
                    queries: q, keys: k, values: v, heads: test.heads, keyValueHeads: test.keyValueHeads,
                    mask: test.mask)
            }
            // Weighted means of values below 1, with weights right to a few parts in 10⁷.
            #expect(got.distance(to: expected) <= 2e-6, "\(context.kernels.name)")
        }
    }

    @Test("attention over a cache equals attention over tensors, and threads do not change its bytes")
    func cacheAndThreads() {
        let (q, k, v) = (
            Tensor.random([33, 64], seed: 4), Tensor.random([50, 32], seed: 5), Tensor.random([50, 32], seed: 6)
        )
        let (keys, values) = (RowBuffer(columns: 32), RowBuffer(columns: 32, capacity: 3))
        for row in 0..<50 {
            keys.append(k[row..<row + 1])
            values.append(v[row..<row + 1])
        }
        let results = [1, 2, 5].map { threads in
            ComputeContext(threads: threads).run {
                attention(queries: q, keys: keys, values: values, heads: 4, keyValueHeads: 2, mask: .causal).bytes
            }
        }
        let direct = attention(queries: q, keys: k, values: v, heads: 4, keyValueHeads: 2, mask: .causal).bytes
        #expect(results == [direct, direct, direct])
    }

    @Test("threads do not change the bytes of one query over keys in several parts")
    func partsAndThreads() {
        let q = Tensor.random([1, 96], seed: 7)
        let (k, v) = (Tensor.random([1000, 48], seed: 8), Tensor.random([1000, 48], seed: 9))
        let results = [1, 2, 5].map { threads in
            ComputeContext(threads: threads).run {
                attention(queries: q, keys: k, values: v, heads: 6, keyValueHeads: 3, mask: .causal).bytes
            }
        }
        #expect(results[0] == results[1] && results[0] == results[2])
    }

    @Test("the log-sum-exp is that of the scaled scores")
    func logSumExp() {
        let (q, k, v) = (
            Tensor.random([5, 8], seed: 7), Tensor.random([1, 8], seed: 8), Tensor.random([1, 8], seed: 9)
        )
        // With one key the log-sum-exp is its score.
        let result = attentionWithLogSumExp(queries: q, keys: k, values: v, heads: 1, keyValueHeads: 1, mask: .full)
        for (row, value) in result.logSumExp.floats.enumerated() {
            let score = zip(q[row].floats, k.floats).reduce(0) { $0 + $1.0 * $1.1 } / Float(8).squareRoot()
            #expect(abs(value - score) < 1e-6)
        }
    }
}
