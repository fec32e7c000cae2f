extension SentencePieceModel {
    /// The model of a `llama` vocabulary given as plain values.
    ///
    /// - Throws: `TokenizationError.invalidVocabulary` for values that do not fit together.
    public init(_ vocabulary: PlainVocabulary) throws(TokenizationError) {
        let kinds = try vocabulary.checkedKinds()
        guard vocabulary.scores.count == kinds.count else {
            throw vocabulary.invalid("it has \(kinds.count) tokens but \(vocabulary.scores.count) scores")
        }
        file = vocabulary.source
        pieces = kinds.indices.map {
            Piece(text: vocabulary.tokens[$0], score: vocabulary.scores[$0], kind: kinds[$0])
        }
        byteFallback = kinds.contains(.byte)
        unknownID = vocabulary.unknownID ?? kinds.firstIndex(of: .unknown) ?? 0
        bosID = vocabulary.bosID
        eosID = vocabulary.eosID
        padID = vocabulary.paddingID
        addDummyPrefix = vocabulary.addsSpacePrefix ?? true
        removeExtraWhitespaces = false
        try validate()
    }
}

extension LlamaTokenizer {
    /// The tokenizer of a `llama` vocabulary given as plain values; its control tokens are cut out of text.
    ///
    /// - Throws: `TokenizationError.invalidVocabulary` for values that do not fit together.
    public init(_ vocabulary: PlainVocabulary) throws(TokenizationError) {
        let sentencePiece = try SentencePieceTokenizer(SentencePieceModel(vocabulary))
        var configuration = LlamaTokenizerConfiguration()
        func token(_ id: Int?) -> AddedToken? { id.map { AddedToken(vocabulary.tokens[$0]) } }
        configuration.addBosToken = vocabulary.addsBOS ?? true
        configuration.addEosToken = vocabulary.addsEOS ?? false
        configuration.legacy = vocabulary.isLegacy
        configuration.bosToken = token(vocabulary.bosID)
        configuration.eosToken = token(vocabulary.eosID)
        configuration.unkToken = token(sentencePiece.model.unknownID)
        configuration.padToken = token(vocabulary.paddingID)
        configuration.additionalSpecialTokens = sentencePiece.model.pieces
            .filter { $0.kind == .control && !$0.text.isEmpty }.map { AddedToken($0.text) }
        self.init(sentencePiece, configuration: configuration)
    }
}

extension PlainVocabulary {
    /// The vocabulary of a LLaMA tokenizer: its pieces, then its added tokens, as llama.cpp's converter lists them.
    public init(_ tokenizer: LlamaTokenizer) {
        let (model, configuration) = (tokenizer.sentencePiece.model, tokenizer.configuration)
        self.init(model: "llama", tokens: model.pieces.map(\.text), source: model.file)
        types = model.pieces.map(\.kind.rawValue)
        scores = model.pieces.map(\.score)
        for id in tokens.count..<max(tokens.count, tokenizer.vocabularySize) {
            let token = configuration.addedTokens[id]
            let kind: SentencePieceModel.Kind =
                token == nil ? .unused : tokenizer.specialIDs.contains(id) ? .control : .userDefined
            tokens.append(token?.content ?? "[PAD\(id)]")
            types.append(kind.rawValue)
            scores.append(-1000)
        }
        (bosID, eosID) = (tokenizer.bosID, tokenizer.eosID)
        (unknownID, paddingID) = (tokenizer.unkID, tokenizer.padID)
        (addsBOS, addsEOS) = (configuration.addBosToken, configuration.addEosToken)
        addsSpacePrefix = model.addDummyPrefix
        isLegacy = configuration.legacy
    }
}
