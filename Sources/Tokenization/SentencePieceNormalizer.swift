/// The identity normaliser of SentencePiece: spaces only.
///
/// Source: google/sentencepiece, `src/normalizer.cc`, `Normalizer::Normalize` with an empty character map.
struct SentencePieceNormalizer: Sendable {
    /// U+2581, which stands for a space inside pieces, in UTF-8.
    static let spaceSymbol: [UInt8] = [0xE2, 0x96, 0x81]

    let addDummyPrefix: Bool
    let removeExtraWhitespaces: Bool
    let escapeWhitespaces: Bool

    /// The UTF-8 bytes of `text` as the pieces see them; empty for empty text.
    func normalized(_ text: String) -> [UInt8] {
        let space = escapeWhitespaces ? Self.spaceSymbol : [0x20]
        var input = Array(text.utf8)[...]
        if removeExtraWhitespaces { input = input.drop { $0 == 0x20 } }
        guard !input.isEmpty else { return [] }

        var result: [UInt8] = []
        result.reserveCapacity(input.count + input.count / 4 + space.count)
        if addDummyPrefix { result += space }
        var afterSpace = false
        for byte in input {
            if byte == 0x20 {
                if !(removeExtraWhitespaces && afterSpace) { result += space }
            } else {
                result.append(byte)
            }
            afterSpace = byte == 0x20
        }
        guard removeExtraWhitespaces else { return result }
        // Like the library, this also drops U+2581 that stood in the text itself.
        while result.suffix(space.count).elementsEqual(space) { result.removeLast(space.count) }
        return result
    }
}
