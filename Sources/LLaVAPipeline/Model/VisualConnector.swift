public import MQT
public import Tensors

/// What lies between the vision tower and the decoder.
public enum VisualConnector: Sendable {
    /// Matryoshka queries: any number of tokens up to M.
    case queryTransformer(QueryTransformer, AttentionTable)
    /// One token for each feature.
    case projector(MultimodalProjector)
}

/// The visual tokens of one image, ready to be spliced into a prompt.
public struct VisualTokens: Sendable {
    /// `[n, D]` in the decoder's embedding space.
    public let embeddings: Tensor
    /// Which of them stand for high-resolution tiles rather than the whole image.
    public let isHighResolution: [Bool]

    /// Number of tokens, n.
    public var count: Int { embeddings.rows }

    /// The tokens of a smaller budget: the first of each view, which are the bytes that the query transformer makes for
    /// that budget.
    /// - Parameters:
    ///   - tokens: tokens of each view, at most as many as there are.
    ///   - views: views of the image.
    public func prefix(_ tokens: Int, ofEachOf views: Int) -> VisualTokens {
        let perView = count / views
        precondition(
            perView * views == count && (1...perView).contains(tokens), "\(tokens) of \(count), \(views) views")
        guard tokens < perView else { return self }
        let rows = (0..<views).flatMap { $0 * perView..<$0 * perView + tokens }
        return VisualTokens(
            embeddings: views == 1 ? embeddings[0..<tokens] : embeddings.gatheredRows(rows),
            isHighResolution: rows.map { isHighResolution[$0] })
    }
}
