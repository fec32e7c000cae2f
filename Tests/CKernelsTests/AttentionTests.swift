import CKernels
import Foundation
import TestSupport
import Testing

/// Which keys a query sees.
enum Mask: CaseIterable, Sendable {
    case full, causal, prefix, window, emptyRows

    /// Keys [first, end) of query i.
    func keys(_ i: Int, queries: Int, keys: Int) -> (first: Int, end: Int) {
        let end = min(keys, i + 1 + keys - queries)
        switch self {
        case .full: return (0, keys)
        case .causal: return (0, end)
        case .prefix: return (0, max(min(keys, keys / 3), end))
        case .window: return (max(0, end - 5), end)
        case .emptyRows: return i % 3 == 1 ? (2, 2) : (keys / 4, keys)
        }
    }
}

struct AttentionCase: Sendable, CustomTestStringConvertible {
    var queries: Int, keys: Int, group: Int, headSize: Int, mask: Mask
    var testDescription: String { "Nq \(queries), Nk \(keys), G \(group), d \(headSize), \(mask)" }
}

@Suite("Attention")
struct AttentionTests {
    /// Inputs of a case; positions are further apart than their values, as in a tensor of several heads.
    struct Problem {
        var q: [Float], k: [Float], v: [Float]
        let c: AttentionCase, ldq: Int, ldk: Int, ldo: Int, ldl: Int, scale: Float

        init(_ c: AttentionCase, seed: UInt64) {
            var random = SeededGenerator(seed: seed)
            self.c = c
            ldq = c.group * c.headSize + 5
            ldk = c.headSize + 3
            ldo = c.group * c.headSize + 2
            ldl = c.queries + 1
            scale = 1 / Float(c.headSize).squareRoot()
            q = random.floats((c.queries - 1) * ldq + c.group * c.headSize).map { 3 * $0 }
            k = random.floats((c.keys - 1) * ldk + c.headSize)
            v = random.floats((c.keys - 1) * ldk + c.headSize)
        }

        func run(_ set: KernelSet, task: Int? = nil, mayRound: Bool = false) -> (
            output: Fenced<Float>, logSumExp: Fenced<Float>
        ) {
            let q = Fenced(q), k = Fenced(k), v = Fenced(v)
            let bounds = (0..<c.queries).map { c.mask.keys($0, queries: c.queries, keys: c.keys) }
            let first = Fenced(bounds.map { Int64($0.first) }), end = Fenced(bounds.map { Int64($0.end) })
            let output = Fenced([Float](repeating: untouched, count: (c.queries - 1) * ldo + c.group * c.headSize))
            let lse = Fenced([Float](repeating: untouched, count: (c.group - 1) * ldl + c.queries))
            var a = vlm_attention(
                head_size: Int64(c.headSize), group: Int64(c.group), queries: Int64(c.queries), keys: Int64(c.keys),
                q: q.pointer, ldq: Int64(ldq), k: k.pointer, v: v.pointer, ldk: Int64(ldk), ldv: Int64(ldk),
                output: output.pointer, ldo: Int64(ldo), scale: scale, may_round: mayRound ? 1 : 0,
                first_key: c.mask == .full || c.mask == .causal ? nil : UnsafePointer(first.pointer),
                end_key: c.mask == .full ? nil : UnsafePointer(end.pointer), own_first: nil, own_end: nil,
                log_sum_exp: lse.pointer, ldl: Int64(ldl))
            let step = task ?? Int(vlm_attention_task_queries(&a, 1))
            let scratch = Fenced(
                [Float](repeating: .nan, count: vlm_attention_scratch(set.table, &a, Int64(min(step, c.queries)))))
            for i in stride(from: 0, to: c.queries, by: step) {
                vlm_attention_queries(set.table, &a, Int64(i), Int64(min(i + step, c.queries)), scratch.pointer)
            }
            return (output, lse)
        }

        /// softmax(scale q k^T) v and log-sum-exp of one query position and head, in double precision, and what the weights add up
        /// to where the largest is 1.
        func exact(_ i: Int, _ g: Int) -> (output: [Double], logSumExp: Double, weightSum: Double) {
            let (first, end) = c.mask.keys(i, queries: c.queries, keys: c.keys), d = c.headSize
            if end <= first { return ([Double](repeating: 0, count: d), -.infinity, 1) }
            let scores = (first..<end).map { j in
                var s = 0.0
                for x in 0..<d { s += Double(q[i * ldq + g * d + x]) * Double(k[j * ldk + x]) }
                return s * Double(scale)
            }
            let top = scores.max()!, p = scores.map { exp($0 - top) }, sum = p.reduce(0, +)
            var output = [Double](repeating: 0, count: d)
            for (j, p) in zip(first..<end, p) {
                for x in 0..<d { output[x] += p / sum * Double(v[j * ldk + x]) }
            }
            return (output, top + log(sum), sum)
        }

        /// Outputs are means of values in -1...1. A score of magnitude up to 3 sqrt(d) rounds by d 2^-24 of its terms
        /// at worst, in practice by about 2^-22, and that is the relative error of its weight: 1e-6.
        func check(_ set: KernelSet) {
            let (output, lse) = run(set)
            let values = output.values, sums = lse.values
            for i in 0..<c.queries {
                for g in 0..<c.group {
                    let exact = exact(i, g)
                    for x in 0..<c.headSize {
                        let error = (Double(values[i * ldo + g * c.headSize + x]) - exact.output[x]).magnitude
                        if !(error <= 1e-6) {
                            Issue.record("\(set) at query \(i), head \(g), \(x): off by \(error)")
                            return
                        }
                    }
                    let sum = Double(sums[g * ldl + i])
                    #expect(
                        exact.logSumExp == -.infinity
                            ? sum == -.infinity : (sum - exact.logSumExp).magnitude <= 2e-6, "\(set)")
                }
            }
            for i in values.indices where i % ldo >= c.group * c.headSize { #expect(values[i] == untouched) }
            for i in sums.indices where i % ldl >= c.queries { #expect(sums[i] == untouched) }
            #expect(output.isIntact && lse.isIntact)
        }
    }

    static let small: [AttentionCase] = Mask.allCases.flatMap { mask in
        [1, 11, 12, 13].flatMap { n in
            [8, 12, 64, 72, 80, 128].flatMap { d in
                [1, 4, 7, 8].map { AttentionCase(queries: n, keys: n, group: $0, headSize: d, mask: mask) }
            }
        }
    }

    @Test("attention of few positions agrees with double precision", arguments: Mask.allCases)
    func few(mask: Mask) {
        for (i, c) in Self.small.enumerated() where c.mask == mask {
            let problem = Problem(c, seed: UInt64(i))
            for set in KernelSet.available { problem.check(set) }
        }
    }

    @Test(
        "attention over several key blocks agrees with double precision",
        arguments: [
            AttentionCase(queries: 257, keys: 257, group: 1, headSize: 64, mask: .full),
            AttentionCase(queries: 257, keys: 257, group: 4, headSize: 12, mask: .causal),
            AttentionCase(queries: 577, keys: 577, group: 1, headSize: 64, mask: .full),
            AttentionCase(queries: 641, keys: 641, group: 1, headSize: 72, mask: .causal),
            AttentionCase(queries: 40, keys: 1300, group: 1, headSize: 64, mask: .full),
            AttentionCase(queries: 577, keys: 577, group: 1, headSize: 8, mask: .window),
            AttentionCase(queries: 300, keys: 300, group: 7, headSize: 8, mask: .prefix),
            AttentionCase(queries: 300, keys: 577, group: 1, headSize: 80, mask: .emptyRows),
        ])
    func many(c: AttentionCase) {
        let problem = Problem(c, seed: 40)
        for set in KernelSet.available { problem.check(set) }
    }

    @Test(
        "causal attention aligns its last query with its last key",
        arguments: [(5, 300), (40, 257), (13, 14), (9, 4), (600, 513)])
    func rectangular(queries: Int, keys: Int) {
        for mask in [Mask.causal, .prefix, .window] {
            for group in [1, 4] {
                let c = AttentionCase(queries: queries, keys: keys, group: group, headSize: 16, mask: mask)
                let problem = Problem(c, seed: 41)
                for set in KernelSet.available { problem.check(set) }
            }
        }
    }

    @Test("one query over a cache agrees with double precision", arguments: [1, 4, 7, 8, 14])
    func decode(group: Int) {
        for keys in [1, 2, 15, 257, 512, 1100] {
            for headSize in [64, 72, 128] {
                let c = AttentionCase(queries: 1, keys: keys, group: group, headSize: headSize, mask: .causal)
                let problem = Problem(c, seed: 42)
                for set in KernelSet.available { problem.check(set) }
            }
        }
    }

    @Test("attention does not depend on how queries were split into tasks", arguments: KernelSet.available)
    func splits(set: KernelSet) {
        for mask in Mask.allCases {
            for c in [
                AttentionCase(queries: 61, keys: 290, group: 1, headSize: 24, mask: mask),
                AttentionCase(queries: 13, keys: 40, group: 4, headSize: 64, mask: mask),
                AttentionCase(queries: 8, keys: 600, group: 1, headSize: 72, mask: mask),
            ] {
                let problem = Problem(c, seed: 43), whole = problem.run(set)
                for task in [1, 2, 7, 12, 25] {
                    let split = problem.run(set, task: task)
                    #expect(split.output.values == whole.output.values, "\(c.testDescription), tasks of \(task)")
                    #expect(split.logSumExp.values == whole.logSumExp.values)
                }
            }
        }
    }

    @Test(
        "factors of 16-bit integers change outputs by no more than their rounding",
        arguments: [
            AttentionCase(queries: 577, keys: 577, group: 1, headSize: 64, mask: .full),
            AttentionCase(queries: 33, keys: 1245, group: 3, headSize: 64, mask: .causal),
            AttentionCase(queries: 300, keys: 301, group: 1, headSize: 72, mask: .window),
            AttentionCase(queries: 61, keys: 577, group: 2, headSize: 128, mask: .emptyRows),
            AttentionCase(queries: 40, keys: 90, group: 4, headSize: 34, mask: .prefix),
        ])
    func rounded(c: AttentionCase) {
        let problem = Problem(c, seed: 44), (q, k) = (problem.q, problem.k)
        for set in KernelSet.available where set.functions.pair_tile != nil {
            let (output, lse) = problem.run(set, mayRound: true)
            let (values, sums, split) = (output.values, lse.values, problem.run(set, task: 12, mayRound: true))
            #expect(split.output.values == values && split.logSumExp.values == sums)
            var (total, count) = (0.0, 0.0)
            for i in 0..<c.queries {
                let (first, end) = c.mask.keys(i, queries: c.queries, keys: c.keys)
                for g in 0..<c.group {
                    // Both factors of a score are off by half a unit: the largest of d values is as many as d of them may be.
                    let own = (0..<c.headSize).map { q[i * problem.ldq + g * c.headSize + $0] }
                    let unit = 1 / (0x7FFFp16 / Double(c.headSize)).squareRoot().rounded(.down)
                    var largest = 0.0
                    for j in first..<max(first, end) {
                        let key = (0..<c.headSize).map { k[j * problem.ldk + $0] }
                        let (most, keyMost) = (largestMagnitude(own), largestMagnitude(key))
                        let terms = zip(own, key).reduce(0.0) {
                            $0 + Double($1.0.magnitude) * keyMost + Double($1.1.magnitude) * most + most * keyMost
                                * unit
                        }
                        largest = max(largest, 0.5 * unit * terms * Double(problem.scale))
                    }
                    let exact = problem.exact(i, g), sum = Double(sums[g * problem.ldl + i])
                    #expect(exact.logSumExp == sum || (exact.logSumExp - sum).magnitude <= 1.01 * largest + 1e-6)
                    // Weights are off by half a unit each as well: 2^-15 of the largest, or a part of their sum.
                    let mass = exact.weightSum, keys = Double(max(0, end - first))
                    let weights = 0.5 * keys * max(1 / (32767 * mass), 2047 * 0x1p-30)
                    for x in 0..<c.headSize {
                        let error = (Double(values[i * problem.ldo + g * c.headSize + x]) - exact.output[x]).magnitude
                        // Scores, values of at most 1, and weights where they are rounded.
                        #expect(error <= 1.05 * (2 * largest + 0.5 / 2047 + weights) + 1e-6)
                        (total, count) = (total + error, count + 1)
                    }
                }
            }
            // Roundings of either sign: the mean is far below the bound, and above what float32 would leave.
            #expect((1e-6...0x1p-11).contains(total / count), "\(total / count)")
            #expect(output.isIntact && lse.isIntact)
        }
    }

    @Test("the largest sums that integers can come to stay what they are", arguments: [2, 34, 64, 128, 256])
    func largestSums(headSize: Int) {
        // Every element is the largest of its row, and every key weighs the same: scores and outputs add up to the limit.
        for keys in [13, 608, 1300] {
            let c = AttentionCase(queries: 20, keys: keys, group: 1, headSize: headSize, mask: .full)
            var problem = Problem(c, seed: 45)
            problem.q = problem.q.map { _ in -0.5 }
            problem.k = problem.k.map { _ in 2 }
            problem.v = problem.v.map { _ in 3 }
            for set in KernelSet.available {
                let (output, lse) = problem.run(set, mayRound: true)
                let exact = problem.exact(0, 0)
                for i in 0..<c.queries {
                    #expect((Double(lse.values[i]) - exact.logSumExp).magnitude <= 1e-4)
                    for x in 0..<headSize { #expect((output.values[i * problem.ldo + x] - 3).magnitude <= 3e-3) }
                }
            }
        }
    }

    private func largestMagnitude(_ x: [Float]) -> Double { Double(x.map(\.magnitude).max() ?? 0) }

    @Test("a row far above its neighbours does not overflow", arguments: KernelSet.available)
    func largeScores(set: KernelSet) {
        // Scores of +-1000: the maximum must be taken out before the exponential, in every block anew.
        let keys = 600, d = 8
        let q = Fenced([Float](repeating: 1000, count: d)), v = Fenced((0..<keys * d).map { Float($0 / d) })
        let k = Fenced((0..<keys * d).map { $0 / d == 300 ? Float(1) : -1 })
        let output = Fenced([Float](repeating: untouched, count: d)), lse = Fenced([untouched])
        var a = vlm_attention(
            head_size: Int64(d), group: 1, queries: 1, keys: Int64(keys), q: q.pointer, ldq: Int64(d), k: k.pointer,
            v: v.pointer, ldk: Int64(d), ldv: Int64(d), output: output.pointer, ldo: Int64(d), scale: 0.125,
            may_round: 0,
            first_key: nil, end_key: nil, own_first: nil, own_end: nil, log_sum_exp: lse.pointer, ldl: 1)
        let scratch = Fenced([Float](repeating: .nan, count: vlm_attention_scratch(set.table, &a, 1)))
        vlm_attention_queries(set.table, &a, 0, 1, scratch.pointer)
        #expect(output.values == [Float](repeating: 300, count: d))
        #expect((lse.values[0] - 1000).magnitude < 1e-3)
    }
}
