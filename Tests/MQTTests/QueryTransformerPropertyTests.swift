import MQT
import NeuralNetwork
import Tensors
import TestSupport
import Testing

@Suite struct QueryTransformerPropertyTests {
    private let transformer: QueryTransformer = {
        var weights = RandomWeights(seed: 11)
        let (size, tokens, width) = (32, 16, 48)
        weights.matrix("query", tokens, size)
        weights.matrix("pos_embed", tokens, size)
        weights.matrix("proj", size, width)
        weights.matrix("attn.in_proj_weight", 3 * size, size)
        weights.vector("attn.in_proj_bias", 3 * size, around: 0)
        weights.matrix("attn.out_proj.weight", size, size)
        weights.vector("attn.out_proj.bias", size, around: 0)
        for norm in ["ln_q", "ln_k", "ln_v"] {
            weights.vector("\(norm).weight", size, around: 1)
            weights.vector("\(norm).bias", size, around: 0)
        }
        return QueryTransformer(
            WeightReader(weights.tensors), maximumTokens: tokens, featureSize: size, tokenSize: width, numHeads: 4)
    }()

    @Test("the tokens at budget m are the first m rows of M, byte for byte")
    func prefixes() throws {
        let grid = PatchGrid(height: 5, width: 7)
        let table = transformer.attentionTable(for: grid)
        let features = Tensor.random([grid.count, 32], seed: 12)
        let all = transformer(features, budget: try VisualTokenBudget(16, maximum: 16), table: table)
        for m in 1...16 {
            let tokens = transformer(features, budget: try VisualTokenBudget(m, maximum: 16), table: table)
            #expect(tokens.bytes == all[0..<m].bytes)
        }
    }

    @Test("attention weights sum to 1 and resampling to the same grid changes nothing")
    func table() {
        let table = transformer.attentionTable(for: PatchGrid(height: 3, width: 8)).weights
        for row in 0..<table.rows {
            let sum = table.reshaped(to: [table.rows, table.columns])[row].floats.reduce(0, +)
            #expect(abs(sum - 1) < 1e-5)
        }
        let positions = Tensor.random([16, 32], seed: 13)
        let same = bicubicallyResampled(positions, from: PatchGrid(squareOf: 16), to: PatchGrid(squareOf: 16))
        #expect(same.bytes == positions.bytes)
    }

    @Test("a budget outside 1...M is refused", arguments: [Int.min, -1, 0, 17, Int.max])
    func budgets(tokens: Int) {
        #expect(throws: VisualTokenBudgetError.outOfRange(requested: tokens, maximum: 16)) {
            try VisualTokenBudget(tokens, maximum: 16)
        }
    }
}
