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
}
