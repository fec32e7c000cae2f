/// A model's pieces arranged for encoding.
struct PieceVocabulary: Sendable {
    /// Pieces that merging can form: normal, user-defined and unused ones.
    let mergeable: PieceTable
    /// Pieces that text never becomes by merging: unknown, control and byte ones.
    let reserved: PieceTable
    /// User-defined pieces, taken whole wherever they stand.
    let userDefined: PrefixTree
    /// The merge score of every id.
    let scores: [Float]
    /// Whether an id is split again after merging.
    let isUnused: [Bool]
    /// The ids of the bytes 0...255; empty without byte fallback.
    let byteIDs: [Int]

    /// Arranges the pieces of `model`.
    ///
    /// - Throws: `TokenizationError.invalidVocabulary` when a piece stands twice, as the library does.
    init(_ model: SentencePieceModel) throws(TokenizationError) {
        var mergeable = PieceTable()
        var reserved = PieceTable()
        var byteIDs = model.byteFallback ? Array(repeating: 0, count: 256) : []
        for (id, piece) in model.pieces.enumerated() {
            let isNew =
                switch piece.kind {
                case .normal, .userDefined, .unused: mergeable.insert(piece.text, id: id)
                case .unknown, .control, .byte: reserved.insert(piece.text, id: id)
                }
            guard isNew else { throw model.invalid("piece \(id), \"\(piece.text)\", stands twice") }
            if piece.kind == .byte, let value = piece.byteValue { byteIDs[Int(value)] = id }
        }
        self.mergeable = mergeable
        self.reserved = reserved
        self.byteIDs = byteIDs
        userDefined = PrefixTree(model.pieces.lazy.filter { $0.kind == .userDefined }.map(\.text))
        scores = model.pieces.map(\.score)
        isUnused = model.pieces.map { $0.kind == .unused }
    }

    /// The id of the bytes of `text` in `range`; reserved pieces come first, as in the library's `PieceToId`.
    func id(of text: [UInt8], _ range: Range<Int>) -> Int? {
        reserved.id(of: text, range) ?? mergeable.id(of: text, range)
    }
}
