import Foundation
import Tensors
import TestSupport
import Testing

@Suite struct GradientPropertyTests {
    private static let masks: [AttentionMask] = [
        .full, .causal, .ranges((0..<300).map { max(0, $0 - 270)..<$0 + 1 }),
        // Two images of 40 tokens, each with turns of 30 behind it that see the image and themselves.
        .prefixed(
            prefix: (0..<300).map { $0 < 150 ? 0..<40 : 150..<190 },
            own: (0..<300).map { token in
                let local = token % 150
                if local < 40 { return token + 1..<token + 1 }
                let turn = token - (local - 40) % 30
                return turn..<token + 1
            }),
    ]

    @Test("attention over several blocks has the gradients of the plain formula", arguments: masks.indices)
    func attentionBlocks(index: Int) {
        let mask = Self.masks[index]
        let (n, heads, keyValueHeads, size) = (300, 4, 2, 9)
        let q = Tensor.random([n, heads * size], seed: 1, amplitude: 2)
        let k = Tensor.random([n, keyValueHeads * size], seed: 2, amplitude: 2)
        let v = Tensor.random([n, keyValueHeads * size], seed: 3)
        let dy = Tensor.random([n, heads * size], seed: 4)
        let expected = plain(q, k, v, dy, heads, keyValueHeads, mask)
        for context in ComputeContext.everyKernelSet {
            context.run {
                let parameters = [("q", q), ("k", k), ("v", v)].map { Parameter($0, $1) }
                let y = attention(
                    queries: parameters[0].tensor, keys: parameters[1].tensor, values: parameters[2].tensor,
                    heads: heads, keyValueHeads: keyValueHeads, mask: mask)
                let reference = attentionReference(
                    queries: q, keys: k, values: v, heads: heads, keyValueHeads: keyValueHeads, mask: mask)
                #expect(y.distance(to: reference) < 2e-6)
                y.backward(from: dy)
                for (parameter, expected) in zip(parameters, expected) {
                    // Sums of up to 600 products of about 1 and probabilities that sum to 1.
                    #expect((parameter.gradient?.distance(to: expected) ?? .infinity) < 2e-5, "\(context.kernels.name)")
                }
            }
        }
    }

    /// The gradients in double precision: every probability stored.
    private func plain(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, _ dy: Tensor, _ heads: Int, _ keyValueHeads: Int, _ mask: AttentionMask
    ) -> [Tensor] {
        let (n, size) = (q.rows, q.columns / heads)
        let (qs, ks, vs, gs) = (q.floats, k.floats, v.floats, dy.floats)
        var (dq, dk, dv) = (
            [Double](repeating: 0, count: q.count), [Double](repeating: 0, count: k.count),
            [Double](repeating: 0, count: v.count)
        )
        let scale = 1 / Double(size).squareRoot()
        for i in 0..<n {
            let visible: [Int] =
                switch mask {
                case .full: Array(0..<n)
                case .causal: Array(0...i)
                case .ranges(let ranges): Array(ranges[i])
                case .prefixed(let prefix, let own): Array(prefix[i]) + Array(own[i])
                }
            for head in 0..<heads {
                let (a, width) = (i * q.columns + head * size, k.columns)
                let b = head / (heads / keyValueHeads) * size
                func dot(_ x: [Float], _ at: Int, _ y: [Float], _ other: Int) -> Double {
                    (0..<size).reduce(0) { $0 + Double(x[at + $1]) * Double(y[other + $1]) }
                }
                let exponentials = visible.map { exp(dot(qs, a, ks, $0 * width + b) * scale) }
                let sum = exponentials.reduce(0, +)
                let p = exponentials.map { $0 / sum }
                let dp = visible.map { dot(gs, a, vs, $0 * width + b) }
                let delta = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
                for (index, j) in visible.enumerated() {
                    let ds = p[index] * (dp[index] - delta) * scale
                    for c in 0..<size {
                        dq[a + c] += ds * Double(ks[j * width + b + c])
                        dk[j * width + b + c] += ds * Double(qs[a + c])
                        dv[j * width + b + c] += p[index] * Double(gs[a + c])
                    }
                }
            }
        }
        return [(dq, q), (dk, k), (dv, v)].map { Tensor($0.map { Float($0) }, shape: $1.shape) }
    }

    /// Something of everything: products, norms, attention, an embedding read twice.
    private func model(_ p: [String: Tensor], checkpointing: Bool) -> Tensor {
        let x = p.at("table").gatheredRows((0..<90).map { $0 * 7 % 40 })
        let (norm, w, heads) = (p.at("norm"), p.at("w"), 3)
        let layer: @Sendable ([Tensor]) -> Tensor = { inputs in
            let h = rmsNorm(inputs[0], weight: norm, epsilon: 1e-5)
            let q = product(h, w)
            let a = attention(queries: q, keys: h, values: q, heads: heads, keyValueHeads: heads, mask: .causal)
            return inputs[0] + product(siluGated(a, h), w, activation: .gelu)
        }
        let h = checkpointing ? checkpointed([checkpointed([x], layer)], layer) : layer([layer([x])])
        return crossEntropy(product(h, p.at("table")), targets: (0..<90).map { $0 % 40 })
    }

    private func gradients(_ context: ComputeContext, checkpointing: Bool = false) -> [[UInt8]] {
        let parameters = [
            Parameter("table", .random([40, 48], seed: 1)), Parameter("norm", .random([48], seed: 2)),
            Parameter("w", .random([48, 48], seed: 3, amplitude: 0.2)),
        ]
        let tensors = Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.tensor) })
        context.run { model(tensors, checkpointing: checkpointing).backward() }
        return parameters.map { $0.gradient?.bytes ?? [] }
    }

    @Test("gradients have the same bytes on one, two and three threads")
    func threads() {
        let one = gradients(ComputeContext(threads: 1))
        #expect(one.allSatisfy { !$0.isEmpty })
        #expect(one == gradients(ComputeContext(threads: 2)))
        #expect(one == gradients(ComputeContext(threads: 3)))
    }

    @Test("a pool takes back the memory of large tensors, and gives it out again with what is still in use untouched")
    func memory() {
        let pool = MemoryPool()
        ComputeContext(threads: 1, memory: pool).run {
            let kept = Tensor(repeating: 1, shape: [20_000])
            do { _ = Tensor(repeating: 2, shape: [20_000]) }
            #expect(pool.freeBytes >= 80_000)
            let again = Tensor(repeating: 3, shape: [20_001])
            #expect(pool.freeBytes == 0)
            #expect(kept.floats.allSatisfy { $0 == 1 } && again.floats.allSatisfy { $0 == 3 })
        }
        #expect(pool.freeBytes >= 160_000)
    }

    @Test("what is computed again on the way back gives the same bytes")
    func checkpointing() {
        let context = ComputeContext(threads: 2)
        // A weight that both layers use is added to in another order, so only the order of two sums may differ: not here,
        // where the later layer comes first either way.
        #expect(gradients(context) == gradients(context, checkpointing: true))
    }

    @Test("a graph is walked again after its parameters changed, and views show the new values")
    func parameters() {
        let parameter = Parameter("w", Tensor([1, 2, 3, 4], shape: [2, 2]))
        let row = parameter.tensor[1..<2]
        func loss() -> Tensor { product(row, Tensor([1, 1], shape: [1, 2])) }
        loss().backward()
        #expect(parameter.gradient?.floats == [0, 0, 1, 1])
        parameter.update { values, _ in values[2] = 30 }
        let second = loss()
        #expect(second.floats == [34])
        second.backward()
        #expect(parameter.gradient?.floats == [0, 0, 2, 2])
        parameter.clearGradient()
        #expect(parameter.gradient == nil)
        withoutGradients { loss().backward() }
        #expect(parameter.gradient == nil)
    }
}

extension [String: Tensor] {
    fileprivate func at(_ name: String) -> Tensor { self[name] ?? Tensor(repeating: .nan, shape: [1]) }
}
