public import Tensors

/// What the matrices of a decoder are stored in.
public struct DecoderTypes: Sendable, Equatable {
    /// Of the maps of its layers.
    public var maps: ElementType
    /// Of the token embeddings and the output head, whose errors go into every word.
    public var words: ElementType
    /// Whether a matrix whose rows are not whole blocks takes the next type that fits it, or is refused.
    public var mayFallBack: Bool

    /// All matrices in one type.
    public init(all type: ElementType) {
        (maps, words, mayFallBack) = (type, type, false)
    }

    /// Maps in one type, embeddings and output head in another.
    /// - Parameter words: nil for what llama.cpp's quantiser takes: Q6_K for maps of less than that, the maps' own type
    ///   otherwise.
    public init(maps: ElementType, words: ElementType? = nil) {
        self.maps = maps
        let isSmall = maps.isBlockQuantized && maps != .q8_0
        self.words = words ?? (isSmall ? .q6_K : maps)
        mayFallBack = true
    }

    /// The type of a tensor by llama.cpp's name: norms and routers stay float32.
    func type(of name: String, shape: [Int]) -> ElementType {
        guard shape.count == 2, !name.contains(".\(GGUFCheckpoint.routerName).") else { return .float32 }
        let wanted = ["token_embd.weight", "output.weight"].contains(name) ? words : maps
        return mayFallBack ? wanted.fitting(shape) : wanted
    }
}

extension ElementType {
    /// This type, or what is stored in its place where rows are no multiples of its block: as llama.cpp chooses, a type of
    /// blocks of 32 of about the same precision, or else float16.
    package func fitting(_ shape: [Int]) -> ElementType {
        if fits(shape) { return self }
        return switch self {
        case .q4_K: ElementType.q5_0.fitting(shape)
        case .q5_K: ElementType.q5_1.fitting(shape)
        case .q6_K: ElementType.q8_0.fitting(shape)
        default: .float16
        }
    }
}
