public import NeuralNetwork
public import Tensors

/// The Matryoshka query transformer: compresses patch features into any number m ≤ M of visual tokens.
///
/// Learned queries attend to the features once. Keys carry positions only, so the attention weights do not depend on
/// the image: they are computed once per grid, and the tokens of budget m are exactly the first m rows of those of M.
///
///     q = ln_q(query + posEmbed)         k = ln_k(posEmbed resampled to the grid)         v = ln_v(features)
///     tokens = outProj(softmax(q kᵀ / √d) v) · proj
///
/// Source: MQT (arXiv 2405.19315); repository gordonhu608/MQT-LLaVA at 92c35d0, class `Resampler`. The resampled
/// positions stay float32 here, where the reference rounds them to the parameters' type.
public struct QueryTransformer: Sendable {
    /// Learned queries, `[M, D]`.
    let query: Tensor
    /// Learned positions, `[M, D]`, row-major over a square grid.
    let posEmbed: Tensor
    let lnQ: LayerNorm
    let qProj: Linear
    let lnK: LayerNorm
    let lnV: LayerNorm
    let kProj: Linear
    let vProj: Linear
    let outProj: Linear
    /// Map to the decoder's width, `[D, E]`.
    let proj: Tensor
    /// Attention heads.
    let numHeads: Int

    /// Largest number of visual tokens, M.
    public var maximumTokens: Int { query.rows }
    /// Width of the features it reads, D.
    public var featureSize: Int { posEmbed.columns }
    /// Width of the tokens it makes, E.
    public var tokenSize: Int { proj.columns }

    /// The attention weights for features on a grid: compute once, use for every image; in training, once for every
    /// step.
    /// - Parameter budget: the largest budget the table serves; nil for M.
    public func attentionTable(for grid: PatchGrid, budget: VisualTokenBudget? = nil) -> AttentionTable {
        let rows = 0..<(budget?.tokens ?? maximumTokens)
        let q = qProj(lnQ(query[rows] + posEmbed[rows]), isRowInvariant: true)  // [m, D]
        let k = kProj(lnK(keyPositions(for: grid)))  // [N, D]
        return AttentionTable(grid: grid, weights: Tensors.attentionTable(queries: q, keys: k, heads: numHeads))
    }

    /// Whether the attention weights have a way back, so that a table must be made anew for every step.
    public var isTableTrained: Bool {
        [query, posEmbed, lnQ.weight, lnQ.bias, lnK.weight, lnK.bias, qProj.weight, kProj.weight]
            .contains(where: \.isTracked)
    }

    /// The learned positions resampled to a grid by bicubic interpolation, `[N, D]`.
    public func keyPositions(for grid: PatchGrid) -> Tensor {
        bicubicallyResampled(posEmbed, from: PatchGrid(squareOf: posEmbed.rows), to: grid)
    }

    /// The visual tokens of an image.
    /// - Parameters:
    ///   - features: patch features `[N, D]`, row-major over the table's grid, without a class token.
    ///   - budget: how many tokens, m.
    ///   - table: the attention weights for the features' grid.
    /// - Returns: `[m, E]`, the same bytes as the first m rows at any larger budget.
    /// - Complexity: O(N·D² + m·N·D + m·D·E) multiply-adds.
    public func callAsFunction(_ features: Tensor, budget: VisualTokenBudget, table: AttentionTable) -> Tensor {
        let v = vProj(lnV(features))  // [N, D]
        let y = weightedValues(table.weights, v, rows: budget.tokens)
        let z = outProj(y, isRowInvariant: true)  // [m, D]
        return product(z, proj, layout: .inOut, isRowInvariant: true)
    }
}

/// The attention weights of a query transformer on one grid of features, `[heads, M, N]`.
public struct AttentionTable: Sendable {
    /// The grid the keys lie on.
    public let grid: PatchGrid
    /// Softmax over the features, `[heads, M, N]`.
    public let weights: Tensor
}
