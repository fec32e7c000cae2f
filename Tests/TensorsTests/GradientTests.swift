import Tensors
import TestSupport
import Testing

/// Gradients against central differences, on every kernel set and at sizes that leave tails.
@Suite struct GradientTests {
    private func random(_ shape: [Int], _ seed: UInt64) -> Tensor { .random(shape, seed: seed) }

    @Test("of products, in either layout, with bias and every activation", arguments: [3, 11])
    func products(rows: Int) {
        let (x, b) = (random([rows, 19], 1), random([37], 3))
        for activation in [Activation.identity, .gelu, .quickGELU, .silu] {
            checkGradients([x, random([37, 19], 2), b]) { product($0[0], $0[1], bias: $0[2], activation: activation) }
        }
        checkGradients([x, random([19, 37], 4)]) { product($0[0], $0[1], layout: .inOut) }
    }

    @Test("of relu, away from its corner")
    func relu() {
        let values = random([5, 21], 5).floats.map { $0 + ($0 < 0 ? -0.1 : 0.1) }
        checkGradients([Tensor(values, shape: [5, 21])]) { $0[0].activated(by: .relu) }
    }

    @Test("of sums, products, gates and factors")
    func elementwise() {
        let (a, b) = (random([7, 19], 1), random([7, 19], 2))
        checkGradients([a, b]) { $0[0] + $0[1] * $0[0] }
        checkGradients([a, b]) { siluGated($0[0], $0[1]) }
        checkGradients([a, random([7, 1], 3)]) { $0[0].scaledRows(by: $0[1]) }
        checkGradients([a, random([19], 3)]) { $0[0].scaledColumns(by: $0[1]) }
        checkGradients([a]) { ($0[0].scaled(by: 0.7) + $0[0]).transposed }
    }

    @Test("of norms and softmax", arguments: [5, 16, 37])
    func norms(columns: Int) {
        let (x, w, b) = (random([9, columns], 1), random([columns], 2), random([columns], 3))
        checkGradients([x, w, b]) { layerNorm($0[0], weight: $0[1], bias: $0[2], epsilon: 1e-3) }
        checkGradients([x, w]) { rmsNorm($0[0], weight: $0[1], epsilon: 1e-3) }
        checkGradients([x]) { softmax($0[0]) }
    }

    @Test("of rows that are gathered, replaced, joined, cut out and combined")
    func rows() {
        let x = random([6, 5], 1)
        checkGradients([x]) { $0[0].gatheredRows([4, 0, 4, 2]) }
        checkGradients([x, random([2, 5], 2)]) { $0[0].replacingRows([3, 1], with: $0[1]) }
        checkGradients([x, random([3, 5], 2)]) { Tensor.concatenatingRows([$0[0], $0[1], $0[0]])[2..<11] }
        checkGradients([x]) { $0[0].reshaped(to: [3, 2, 5])[1] }
        checkGradients([x]) { $0[0].combinedRows([[(0, 0.25), (5, 0.5)], [], [(0, -1), (2, 0.3)]]) }
    }

    @Test("of rotations")
    func rotations() {
        let angles = random([4, 5], 1)
        let (cosine, sine) = (Tensor(angles.floats.map { 1 - $0 * $0 }, shape: [4, 5]), angles)
        checkGradients([random([4, 30], 2)]) { rotated($0[0], cosine: cosine, sine: sine) }
    }

    @Test("of attention by a table, of its first rows too")
    func tables() {
        checkGradients([random([5, 14], 1), random([9, 14], 2)]) {
            attentionTable(queries: $0[0], keys: $0[1], heads: 2)
        }
        checkGradients([random([2, 5, 9], 1), random([9, 14], 2)]) { weightedValues($0[0], $0[1], rows: 3) }
    }

    @Test("of batch normalisation")
    func batches() {
        checkGradients([random([17, 5], 1), random([5], 2), random([5], 3)]) {
            batchNorm($0[0], weight: $0[1], bias: $0[2], epsilon: 1e-3).output
        }
        checkGradients([random([17, 5], 1)]) { $0[0].affine(scale: random([5], 2), shift: random([5], 3)) }
    }

    @Test("of cross entropy")
    func losses() {
        checkGradients([random([4, 23], 1)]) { crossEntropy($0[0], targets: [0, 22, 7, 7]) }
    }

    private static let masks: [AttentionMask] = [
        .full, .causal, .ranges((0..<13).map { $0 / 3..<min(13, $0 + 2) }),
        .ranges((0..<13).map { _ in 5..<5 }),
        .prefixed(
            prefix: (0..<13).map { _ in 0..<4 }, own: (0..<13).map { $0 < 4 ? 4..<4 : ($0 < 8 ? 4 : 8)..<$0 + 1 }),
    ]

    @Test("of attention with every mask and grouped queries", arguments: masks.indices)
    func attentionMasks(index: Int) {
        checkGradients([random([13, 20], 1), random([13, 10], 2), random([13, 10], 3)]) {
            attention(queries: $0[0], keys: $0[1], values: $0[2], heads: 4, keyValueHeads: 2, mask: Self.masks[index])
        }
    }

    @Test("gradients flow through a frozen weight of any type to its input")
    func frozen() throws {
        for type in [ElementType.float16, .q8_0, .q4_0] {
            let weight = try random([21, 64], 1).converted(to: type)
            checkGradients([random([3, 64], 2)]) { product($0[0], weight) }
            checkGradients([random([11, 64], 2)]) { product($0[0], weight) }
        }
        let weight = random([21, 64], 1).asBFloat16
        checkGradients([random([11, 64], 2)]) { product($0[0], weight) }
    }
}
