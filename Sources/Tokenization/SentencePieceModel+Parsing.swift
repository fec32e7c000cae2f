internal import Bytes

/// What a `tokenizer.model` is read through.
private typealias Message = ProtobufMessage<[UInt8], TokenizationError>

extension SentencePieceModel {
    /// Reads `ModelProto`. Every count grows with the bytes that back it, so nothing is allocated on a header's word.
    mutating func parse(_ bytes: [UInt8]) throws(TokenizationError) {
        var reader = try Message(bytes, file: file, part: "model")
        var modelType = 1  // UNIGRAM, the format's default
        while let field = try reader.next() {
            switch field.number {
            case 1: pieces.append(try piece(reader.message(in: field, part: "pieces[\(pieces.count)]")))
            case 2: try parseTrainer(reader.message(in: field, part: "trainer_spec"), modelType: &modelType)
            case 3: try parseNormalizer(reader.message(in: field, part: "normalizer_spec"))
            case 5: try refuseCharacterMap(reader.message(in: field, part: "denormalizer_spec"))
            default: break
            }
        }
        guard modelType == 2 else {
            let name = [1: "UNIGRAM", 3: "WORD", 4: "CHAR"][modelType] ?? "type \(modelType)"
            throw unsupported("trainer_spec.model_type", name, "BPE")
        }
    }

    private func piece(_ message: Message) throws(TokenizationError) -> Piece {
        var reader = message
        var piece = Piece(text: "", score: 0, kind: .normal)
        while let field = try reader.next() {
            switch field.number {
            case 1: piece.text = try reader.text(of: field, named: "piece")
            case 2: piece.score = try reader.float(of: field, named: "score")
            case 3:
                let type = try reader.integer32(of: field, named: "type")
                guard let kind = Kind(rawValue: type) else {
                    throw reader.damaged(field, "type", expected: "a piece type of 1...6", got: "\(type)")
                }
                piece.kind = kind
            default: break
            }
        }
        return piece
    }

    private mutating func parseTrainer(
        _ message: Message, modelType: inout Int
    ) throws(TokenizationError) {
        var reader = message
        while let field = try reader.next() {
            switch field.number {
            case 3: modelType = try reader.integer32(of: field, named: "model_type")
            case 24:
                guard try !reader.bool(of: field, named: "treat_whitespace_as_suffix") else {
                    throw unsupported("trainer_spec.treat_whitespace_as_suffix", "true", "false")
                }
            case 35: byteFallback = try reader.bool(of: field, named: "byte_fallback")
            case 41: bosID = id(try reader.integer32(of: field, named: "bos_id"))
            case 42: eosID = id(try reader.integer32(of: field, named: "eos_id"))
            case 43: padID = id(try reader.integer32(of: field, named: "pad_id"))
            case 44: unknownSurface = try reader.text(of: field, named: "unk_surface")
            default: break
            }
        }
    }

    private mutating func parseNormalizer(_ message: Message) throws(TokenizationError) {
        var reader = message
        while let field = try reader.next() {
            switch field.number {
            case 3: addDummyPrefix = try reader.bool(of: field, named: "add_dummy_prefix")
            case 4: removeExtraWhitespaces = try reader.bool(of: field, named: "remove_extra_whitespaces")
            case 5: escapeWhitespaces = try reader.bool(of: field, named: "escape_whitespaces")
            default: break
            }
        }
        try refuseCharacterMap(message)
    }

    /// Throws when a normaliser rewrites characters, as `nmt_nfkc` does.
    private func refuseCharacterMap(_ message: Message) throws(TokenizationError) {
        var reader = message
        var name = ""
        var mapBytes = 0
        while let field = try reader.next() {
            switch field.number {
            case 1: name = try reader.text(of: field, named: "name")
            case 2: mapBytes = try reader.range(of: field, named: "precompiled_charsmap").count
            default: break
            }
        }
        guard mapBytes == 0 else {
            let found = "a character map of \(mapBytes) bytes (normaliser \"\(name)\")"
            throw unsupported("\(message.part).precompiled_charsmap", found, "none (normaliser \"identity\")")
        }
    }

    /// A special id of the trainer: negative means that the model has none.
    private func id(_ value: Int) -> Int? { value < 0 ? nil : value }

    /// Checks what SentencePiece itself checks on loading, and finds the unknown piece.
    mutating func validate() throws(TokenizationError) {
        let unknown = pieces.indices.filter { pieces[$0].kind == .unknown }
        guard unknown.count == 1 else {
            throw invalid("\(unknown.count) pieces are of type UNKNOWN among \(pieces.count); exactly one is needed")
        }
        unknownID = unknown[0]
        for (name, id) in [("bos_id", bosID), ("eos_id", eosID), ("pad_id", padID)] {
            guard let id else { continue }
            guard id < pieces.count else { throw invalid("\(name) is \(id) of \(pieces.count) pieces") }
        }
        var byteValues = Set<UInt8>()
        for (id, piece) in pieces.enumerated() {
            guard !piece.text.isEmpty else { throw invalid("piece \(id) is empty") }
            guard piece.kind == .byte else { continue }
            guard byteFallback else { throw invalid("piece \(id) is a byte although byte_fallback is off") }
            guard let value = piece.byteValue else {
                throw invalid("byte piece \(id) is \"\(piece.text)\", not of the form <0x0A>")
            }
            byteValues.insert(value)
        }
        guard !byteFallback || byteValues.count == 256 else {
            throw invalid("byte_fallback needs 256 byte pieces; \(byteValues.count) are there")
        }
    }

    func invalid(_ problem: String) -> TokenizationError { .invalidVocabulary(file: file, problem: problem) }

    private func unsupported(_ field: String, _ found: String, _ supported: String) -> TokenizationError {
        .unsupportedModel(file: file, field: field, found: found, supported: supported)
    }
}

extension SentencePieceModel.Piece {
    /// The byte that a piece such as `<0x0A>` stands for; nil for any other text.
    var byteValue: UInt8? {
        let bytes = Array(text.utf8)
        guard bytes.count == 6, text.hasPrefix("<0x"), text.hasSuffix(">") else { return nil }
        let digits = bytes[3..<5].compactMap { byte -> UInt8? in
            switch byte {
            case 0x30...0x39: byte - 0x30
            case 0x41...0x46: byte - 0x41 + 10
            default: nil
            }
        }
        return digits.count == 2 ? digits[0] << 4 | digits[1] : nil
    }
}
