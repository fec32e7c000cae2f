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
    /// What the keys are made of.
    package let keySource: KeySource

    /// What the values are made of, which become the tokens.
    let valueSource: ValueSource

    /// What a token is told of the cells its query attends to.
    public enum ValueSource: String, Sendable {
        /// What the tower saw there, as published.
        case features
        /// Where they lie as well, for a tower whose features do not say it. A form of ours.
        case featuresAndPositions = "features_and_positions"
    }

    /// What queries are compared with.
    public enum KeySource: String, Sendable {
        /// Positions alone, as published: the attention weights are the same for every image.
        case positions
        /// Normalised features and positions: queries find what an image shows. A form of ours.
        case featuresAndPositions = "features_and_positions"
    }

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

    /// Whether queries attend to what an image shows, so that every image has attention weights of its own.
    public var seesFeatures: Bool { keySource == .featuresAndPositions }

    /// The attention weights for an image: those of the table, unless queries attend to what it shows.
    /// - Parameter features: patch features `[N, D]` on the table's grid.
    public func attentionTable(for features: Tensor, on table: AttentionTable) -> AttentionTable {
        guard seesFeatures else { return table }
        let q = qProj(lnQ(query + posEmbed), isRowInvariant: true)  // [M, D]
        let k = kProj(lnK(lnV(features) + keyPositions(for: table.grid)))  // [N, D]
        return AttentionTable(grid: table.grid, weights: Tensors.attentionTable(queries: q, keys: k, heads: numHeads))
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
        if keySource == .featuresAndPositions {
            let features = features.reshaped(to: [1] + features.shape)
            return tokens(ofBatch: features, budget: budget, grid: table.grid)
        }
        let normalized = lnV(features)
        let v = vProj(
            valueSource == .features ? normalized : normalized + keyPositions(for: table.grid))  // [N, D]
        let y = weightedValues(table.weights, v, rows: budget.tokens)
        let z = outProj(y, isRowInvariant: true)  // [m, D]
        return product(z, proj, layout: .inOut, isRowInvariant: true)
    }
}

extension QueryTransformer {
    /// The visual tokens of several images, by attention that is computed anew; what training uses.
    /// - Parameters:
    ///   - features: `[B, N, D]`, row-major over the grid.
    ///   - budget: how many tokens of each image, m.
    /// - Returns: `[B · m, E]`, image by image.
    public func tokens(ofBatch features: Tensor, budget: VisualTokenBudget, grid: PatchGrid) -> Tensor {
        let (images, cells, m) = (features.shape[0], features.shape[1], budget.tokens)
        precondition(cells == grid.count, "features \(features.shape) on \(grid)")
        let normalized = lnV(features.reshaped(to: [images * cells, featureSize]))  // [B · N, D]
        let positions = keyPositions(for: grid).gatheredRows((0..<images * cells).map { $0 % cells })
        let v = vProj(valueSource == .features ? normalized : normalized + positions)
        let k = kProj(lnK(keySource == .positions ? positions : normalized + positions))  // [B · N, D]
        let rows = 0..<m
        let q = qProj(lnQ(query[rows] + posEmbed[rows]), isRowInvariant: true)  // [m, D]
        let y = attention(
            queries: q.gatheredRows((0..<images * m).map { $0 % m }), keys: k, values: v, heads: numHeads,
            keyValueHeads: numHeads,
            mask: .ranges((0..<images * m).map { $0 / m * cells..<($0 / m + 1) * cells }))  // [B · m, D]
        let z = outProj(y, isRowInvariant: true)
        return product(z, proj, layout: .inOut, isRowInvariant: true)  // [B · m, E]
    }
}

/// The attention weights of a query transformer on one grid of features, `[heads, M, N]`.
public struct AttentionTable: Sendable {
    /// The grid the keys lie on.
    public let grid: PatchGrid
    /// Softmax over the features, `[heads, M, N]`.
    public let weights: Tensor
}
