/// Encodes text with a SentencePiece BPE model, and decodes ids, exactly as the SentencePiece library does.
///
/// Strings such as `<s>` in the text are ordinary text here and no ids are added at either end; `LlamaTokenizer` does
/// both. Source: google/sentencepiece, `src/sentencepiece_processor.cc`.
public struct SentencePieceTokenizer: Sendable {
    /// The model the tokenizer was made from.
    public let model: SentencePieceModel
    let vocabulary: PieceVocabulary
    let surfaces: SurfaceTable

    /// A tokenizer of `model`.
    ///
    /// - Throws: `TokenizationError.invalidVocabulary` when a piece stands twice.
    public init(_ model: SentencePieceModel) throws(TokenizationError) {
        self.model = model
        vocabulary = try PieceVocabulary(model)
        surfaces = SurfaceTable(model)
    }

    /// The number of ids.
    public var vocabularySize: Int { model.pieces.count }

    /// The ids of `text`, without any special ones. O(n log n) in the bytes of the text.
    public func encode(_ text: String) -> [Int] { encode(text, addingDummyPrefix: model.addDummyPrefix) }

    /// The ids of `text`, with the model's own setting of the dummy prefix replaced.
    func encode(_ text: String, addingDummyPrefix addDummyPrefix: Bool) -> [Int] {
        let normalizer = SentencePieceNormalizer(
            addDummyPrefix: addDummyPrefix, removeExtraWhitespaces: model.removeExtraWhitespaces,
            escapeWhitespaces: model.escapeWhitespaces)
        let bytes = normalizer.normalized(text)
        var merger = BytePairMerger(bytes, vocabulary: vocabulary)
        var ids: [Int] = []
        var isAfterUnknown = false
        for range in merger.run() {
            let id = vocabulary.id(of: bytes, range) ?? model.unknownID
            let isUnknown = id == model.unknownID
            if isUnknown, model.byteFallback {
                ids += range.lazy.map { vocabulary.byteIDs[Int(bytes[$0])] }
            } else if !(isUnknown && isAfterUnknown) {  // a run of unknown characters is one unknown piece
                ids.append(id)
            }
            isAfterUnknown = isUnknown
        }
        return ids
    }

    /// The text of `ids`: control pieces vanish, byte pieces join (invalid ones become U+FFFD), and the space that
    /// encoding put in front goes again.
    ///
    /// - Throws: `TokenizationError.unknownID` for an id outside the vocabulary.
    public func decode(_ ids: some Sequence<Int>) throws(TokenizationError) -> String { try surfaces.decode(ids) }

    /// A decoder that takes ids one at a time.
    public func streamDecoder() -> StreamDecoder { StreamDecoder(surfaces) }
}

extension SurfaceTable {
    /// The surfaces of a model's pieces.
    init(_ model: SentencePieceModel) {
        surfaces = model.pieces.map { piece in
            switch piece.kind {
            case .control: .hidden
            case .unknown: .literal(model.unknownSurface)
            case .byte: piece.byteValue.map { .byte($0) } ?? .hidden
            case .normal, .userDefined, .unused: .piece(piece.text.replacingScalar("\u{2581}", with: " "))
            }
        }
        stripsLeadingSpace = model.addDummyPrefix || model.removeExtraWhitespaces
        stripsEveryLeadingSpace = model.removeExtraWhitespaces
    }
}
