public import NeuralNetwork
public import Tensors

extension QueryTransformer {
    /// The weights of a query transformer that is to be trained, under the names of the published `Resampler`.
    ///
    /// Queries and output projection are normal with deviation 0.02, the input projections Glorot-uniform, `proj` normal
    /// with deviation E^-½; norms start at 1 and 0, biases at 0, positions as sines and cosines rounded to float16.
    /// - Parameters:
    ///   - maximumTokens: M, a square number.
    ///   - featureSize: width of the tower's features, D, a multiple of 4.
    ///   - tokenSize: width of the decoder, E.
    ///   - isLocal: whether attention starts local, which is not the published start: keys and queries are projected
    ///     alike and three times as long, and query i stands at a place of its own, the first ones far from each other.
    ///     On a grid of 8 x 8 three quarters of a query's attention then lie within a cell of its place; from the published
    ///     start every token is nearly the mean of all features.
    ///
    /// Source: `Resampler.__init__` in MQT-LLaVA at 92c35d0.
    public static func freshWeights(
        maximumTokens: Int, featureSize: Int, tokenSize: Int, isLocal: Bool = false,
        _ initializer: inout WeightInitializer
    ) throws -> [String: Tensor] {
        let (size, side) = (featureSize, PatchGrid(squareOf: maximumTokens).height)
        var weights = [
            "query": initializer.normal([maximumTokens, size], deviation: 0.02),
            "pos_embed": try SinCosPositionEmbedding.table(size: size, grid: side).converted(to: .float16).widened,
            "attn.in_proj_weight": initializer.xavierUniform([3 * size, size]),
            "attn.in_proj_bias": Tensor(repeating: 0, shape: [3 * size]),
            "attn.out_proj.weight": initializer.normal([size, size], deviation: 0.02),
            "attn.out_proj.bias": Tensor(repeating: 0, shape: [size]),
            "proj": initializer.normal([size, tokenSize], deviation: 1 / Float(tokenSize).squareRoot()),
        ]
        for norm in ["ln_q", "ln_k", "ln_v"] {
            weights[norm + ".weight"] = Tensor(repeating: 1, shape: [size])
            weights[norm + ".bias"] = Tensor(repeating: 0, shape: [size])
        }
        if isLocal, let positions = weights["pos_embed"],
            let projections = weights["attn.in_proj_weight"]
        {
            let places = (0..<maximumTokens).map { spreadPlace($0, side: side) }
            // The position of row i is added to query i wherever it is used, so it is taken off here.
            weights["query"] = positions.gatheredRows(places) + positions.scaled(by: -1)
            let (queries, values) = (projections[0..<size].scaled(by: 3), projections[2 * size..<3 * size])
            weights["attn.in_proj_weight"] = Tensor.concatenatingRows([queries, queries, values])
        }
        return weights
    }

    /// The cell of a square grid at which query `index` stands: rows and columns halve the distances left, in turn, so
    /// that the first m places are spread over the whole grid for every m.
    static func spreadPlace(_ index: Int, side: Int) -> Int {
        var order = (0..<side * side).map { cell in
            // Interleaved bits of row and column, the lowest first: a van der Corput order of the plane.
            let (row, column) = (cell / side, cell % side)
            var key = 0
            for bit in 0..<16 { key = key << 2 | (row >> bit & 1) << 1 | (row >> bit & 1) ^ (column >> bit & 1) }
            return (key: key, cell: cell)
        }
        order.sort { ($0.key, $0.cell) < ($1.key, $1.cell) }
        return order[index].cell
    }
}
