/// A byte-level vocabulary arranged for encoding: tokens as bytes, and the merges between them.
struct ByteLevelVocabulary: Sendable {
    /// The tokens that text can become, by their bytes.
    let tokens: PieceTable
    /// The token of every single byte; -1 for a byte that has none.
    let byteIDs: [Int32]
    /// Which tokens merge.
    let merges: MergeTable
    /// What every token looks like in text when control tokens are shown.
    let surfaces: [SurfaceTable.Surface]
    /// The kind of every token.
    let kinds: [SentencePieceModel.Kind]

    /// Arranges the tokens and merges of `vocabulary`.
    ///
    /// Control tokens are kept apart, so that no merge forms one.
    /// - Throws: `TokenizationError.invalidVocabulary` for a token that stands twice and for a merge of strings that are no
    ///   tokens.
    init(_ vocabulary: PlainVocabulary) throws(TokenizationError) {
        var kinds = try vocabulary.checkedKinds()
        // Files that call every token normal still mean these as what they are.
        for id in [vocabulary.bosID, vocabulary.eosID, vocabulary.paddingID] { if let id { kinds[id] = .control } }
        var tokens = PieceTable()
        var byteIDs = Array(repeating: Int32(-1), count: 256)
        var surfaces: [SurfaceTable.Surface] = []
        surfaces.reserveCapacity(kinds.count)
        for (id, text) in vocabulary.tokens.enumerated() {
            switch kinds[id] {
            case .control, .unknown, .userDefined, .unused:
                // These are written as they are, not in the byte alphabet.
                surfaces.append(.literal(text))
            case .normal, .byte:
                guard let bytes = ByteAlphabet.bytes(of: text.unicodeScalars) else {
                    surfaces.append(.literal(text))
                    continue
                }
                surfaces.append(.bytes(bytes))
                if bytes.isEmpty { continue }
                guard tokens.insert(bytes, id: id) else {
                    throw vocabulary.invalid("token \(id), \(text.debugDescription), stands twice")
                }
                if bytes.count == 1 { byteIDs[Int(bytes[0])] = Int32(id) }
            }
        }
        merges = try Self.merges(of: vocabulary, tokens)
        self.tokens = tokens
        self.byteIDs = byteIDs
        self.surfaces = surfaces
        self.kinds = kinds
    }

    private static func merges(
        of vocabulary: PlainVocabulary, _ tokens: PieceTable
    ) throws(TokenizationError) -> MergeTable {
        let count = vocabulary.merges.count
        guard count < MergeTable.maximumCount else { throw vocabulary.invalid("it has \(count) merges") }
        var table = MergeTable(capacity: count)
        for (rank, merge) in vocabulary.merges.enumerated() {
            let parts = merge.unicodeScalars.split(separator: " ", omittingEmptySubsequences: false)
            guard parts.count == 2, let left = ByteAlphabet.bytes(of: parts[0]),
                let right = ByteAlphabet.bytes(of: parts[1]), !left.isEmpty, !right.isEmpty
            else {
                throw vocabulary.invalid("merge \(rank), \(merge.debugDescription), is not two tokens and a space")
            }
            let joined = left + right
            guard let leftID = tokens.id(of: left, left.indices), let rightID = tokens.id(of: right, right.indices),
                let id = tokens.id(of: joined, joined.indices)
            else {
                throw vocabulary.invalid(
                    "merge \(rank), \(merge.debugDescription), has a part or a result that is no token for text")
            }
            guard table.append(left: leftID, right: rightID, result: id) else {
                throw vocabulary.invalid("merge \(rank), \(merge.debugDescription), stands twice")
            }
        }
        return table
    }
}
