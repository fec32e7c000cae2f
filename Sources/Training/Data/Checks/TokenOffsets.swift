import Tokenization

/// Which bytes of a text every id stands for, found by decoding one id at a time.
struct TokenOffsets {
    /// The bytes of every id; ids that write nothing have the range of what they wait for.
    private(set) var ranges: [Range<Int>] = []

    /// Where a text and its ids part.
    struct Untraceable: Error, Equatable {
        /// Offset of the byte in the text.
        let offset: Int
        /// What the ids write there.
        let written: String
        /// What the text says.
        let expected: String
    }

    /// Follows `ids` through the bytes of a prompt; images are the text `<image>` there.
    ///
    /// Decoding loses or adds spaces beside special tokens, so white space that only one side has is passed over.
    /// - Throws: `Untraceable`, or `TokenizationError` for an id outside the vocabulary.
    init(of ids: [Int], in prompt: String, tokenizer: any Tokenizer) throws {
        let text = Array(prompt.utf8)
        let image = Array(ImagePrompt.imageToken.utf8)
        var cursor = 0
        var pending = 0
        var decoder = tokenizer.streamDecoder(skippingSpecialTokens: false)

        func follow(_ written: some Collection<UInt8>) throws -> Range<Int> {
            let start = cursor
            for (index, byte) in written.enumerated() {
                if cursor < text.count, text[cursor] == byte {
                    cursor += 1
                } else if byte == 0x20, index == 0 {
                    continue
                } else {
                    while cursor < text.count, Self.isSpace(text[cursor]), text[cursor] != byte { cursor += 1 }
                    guard cursor < text.count, text[cursor] == byte else {
                        throw Untraceable(
                            offset: cursor, written: String(decoding: Array(written), as: UTF8.self),
                            expected: String(decoding: text[min(start, text.count)...].prefix(24), as: UTF8.self))
                    }
                    cursor += 1
                }
            }
            return start..<cursor
        }
        for (index, id) in ids.enumerated() {
            var written: Range<Int>
            if id == ImagePrompt.imageID {
                _ = try follow(decoder.finish().utf8)
                written = try follow(image)
                decoder = tokenizer.streamDecoder(skippingSpecialTokens: false)
            } else if id == tokenizer.bosID, index == 0, tokenizer.addsBOS {
                written = 0..<0
                // BOS may also be spelled out in the prompt.
                let spelled = Array((try tokenizer.decode([id], skippingSpecialTokens: false)).utf8)
                if text.starts(with: spelled), !spelled.isEmpty,
                    tokenizer.controlID(of: String(decoding: spelled, as: UTF8.self)) == id,
                    ids.dropFirst().first != id
                {
                    written = try follow(spelled)
                }
            } else {
                let bytes = Array(try decoder.append(id).utf8)
                if bytes.isEmpty {
                    ranges.append(cursor..<cursor)
                    pending += 1
                    continue
                }
                written = try follow(bytes)
            }
            for waiting in ranges.count - pending..<ranges.count { ranges[waiting] = written }
            pending = 0
            ranges.append(written)
        }
        _ = try follow(decoder.finish().utf8)
        while cursor < text.count, Self.isSpace(text[cursor]) { cursor += 1 }
        guard cursor == text.count else {
            throw Untraceable(
                offset: cursor, written: "", expected: String(decoding: text[cursor...].prefix(24), as: UTF8.self))
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}
