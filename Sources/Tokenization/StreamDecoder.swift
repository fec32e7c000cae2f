/// Turns ids into text one at a time: text comes as soon as its characters are complete, never half of one.
///
/// All chunks, with `finish()` last, concatenate to what decoding the ids at once gives; decoding at once is done by
/// this type too.
///
///     var decoder = tokenizer.streamDecoder()
///     for id in ids { print(try decoder.append(id), terminator: "") }
///     print(decoder.finish())
public struct StreamDecoder: Sendable {
    private let surfaces: SurfaceTable
    private var assembler: UTF8Assembler
    private var isAtStart = true

    init(_ surfaces: SurfaceTable) {
        self.surfaces = surfaces
        assembler = UTF8Assembler(joinsBrokenCharacters: surfaces.joinsBrokenCharacters)
    }

    /// Takes the next id and returns the text that is certain by now, perhaps none.
    ///
    /// - Throws: `TokenizationError.unknownID` for an id outside the vocabulary; the decoder stays usable.
    public mutating func append(_ id: Int) throws(TokenizationError) -> String {
        switch try surfaces.surface(of: id) {
        case .byte(let byte):
            isAtStart = false
            return assembler.append(byte)
        case .bytes(let bytes):
            isAtStart = isAtStart && bytes.isEmpty
            return assembler.append(bytes)
        case .hidden:
            return assembler.finish()
        case .literal(let text):
            let held = assembler.finish()
            isAtStart = surfaces.stripsAfterLiteral || (isAtStart && text.isEmpty)
            return held + text
        case .piece(let text):
            let held = assembler.finish()
            guard isAtStart, surfaces.stripsLeadingSpace, text.utf8.first == 0x20 else {
                isAtStart = isAtStart && text.isEmpty
                return held + text
            }
            let rest = String(text.unicodeScalars.dropFirst())
            isAtStart = surfaces.stripsEveryLeadingSpace && rest.isEmpty
            return held + rest
        }
    }

    /// Ends the text: bytes still waiting for the rest of their character come out as U+FFFD.
    public mutating func finish() -> String { assembler.finish() }
}

/// What every id looks like in text.
struct SurfaceTable: Sendable {
    /// The text of one id.
    enum Surface: Sendable {
        /// Nothing: a control token.
        case hidden
        /// A byte of a character.
        case byte(UInt8)
        /// Bytes of a text, which need not be whole characters.
        case bytes([UInt8])
        /// Text whose leading space belongs to the dummy prefix at the start.
        case piece(String)
        /// Text that stands as it is.
        case literal(String)
    }

    /// By id, the pieces of the model.
    var surfaces: [Surface]
    /// Added tokens, which come before the model's pieces.
    var overrides: [Int: Surface] = [:]
    /// Whether one leading space of the text is the dummy prefix and is dropped.
    var stripsLeadingSpace: Bool
    /// Whether further pieces that are only a space are dropped with it.
    var stripsEveryLeadingSpace: Bool
    /// Whether text after an added token starts with a dummy prefix of its own.
    var stripsAfterLiteral = false
    /// Whether the beginning of a character that does not go on is one U+FFFD rather than one for every byte.
    var joinsBrokenCharacters = false

    /// The number of ids, from 0 to the highest known one.
    var count: Int { max(surfaces.count, (overrides.keys.max() ?? -1) + 1) }

    func surface(of id: Int) throws(TokenizationError) -> Surface {
        if let surface = overrides[id] { return surface }
        guard surfaces.indices.contains(id) else { throw .unknownID(id, vocabularySize: count) }
        return surfaces[id]
    }

    /// The text of `ids`.
    func decode(_ ids: some Sequence<Int>) throws(TokenizationError) -> String {
        var decoder = StreamDecoder(self)
        var text = ""
        for id in ids { text += try decoder.append(id) }
        return text + decoder.finish()
    }
}
