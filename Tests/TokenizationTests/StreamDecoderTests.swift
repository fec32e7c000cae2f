import TestSupport
import Testing

@testable import Tokenization

@Suite("Streaming decoding")
struct StreamDecoderTests {
    @Test(
        "the chunks of a stream concatenate to the whole text, for any ids", .tags(.property),
        arguments: [UInt64](1...5))
    func concatenation(seed: UInt64) throws {
        let tokenizer = try TinyModel.tokenizer()
        var generator = SeededGenerator(seed: seed)
        var tally = Tally()
        for _ in 0..<200 {
            let limit = Bool.random(using: &generator) ? 259 : tokenizer.vocabularySize  // bytes alone, or any piece
            let ids = (0..<Int.random(in: 0...20, using: &generator)).map { _ in
                Int.random(in: 0..<limit, using: &generator)
            }
            var decoder = tokenizer.streamDecoder()
            var text = ""
            for id in ids { text += try decoder.append(id) }
            tally.compare(text + decoder.finish(), try tokenizer.decode(ids), "\(ids)")
        }
        tally.expect(200)
    }

    @Test("a character of several byte pieces comes out once its last byte is there")
    func characterAtOnce() throws {
        let tokenizer = try TinyModel.tokenizer()
        var decoder = tokenizer.streamDecoder()
        let chunks = try "😀".utf8.map { try decoder.append(Int($0) + 3) }
        #expect(chunks == ["", "", "", "😀"])
        #expect(decoder.finish().isEmpty)
    }

    @Test("text is never held back longer than its characters need")
    func immediacy() throws {
        let tokenizer = try TinyModel.tokenizer()
        var decoder = tokenizer.streamDecoder()
        var text = ""
        for id in tokenizer.encode("a red star, 日 and 😀.") {
            text += try decoder.append(id)
            let isByte = tokenizer.model.pieces[id].kind == .byte
            #expect(isByte || decoder.finish().isEmpty)
        }
        #expect(text == "a red star, 日 and 😀.")
    }

    @Test("bytes that can no longer become a character are shown at once")
    func brokenCharacters() throws {
        let tokenizer = try TinyModel.tokenizer()
        func chunks(_ bytes: [UInt8]) throws -> [String] {
            var decoder = tokenizer.streamDecoder()
            return try bytes.map { try decoder.append(Int($0) + 3) } + [decoder.finish()]
        }
        #expect(try chunks([0xFF]) == ["\u{FFFD}", ""])
        #expect(try chunks([0xE6, 0x41]) == ["", "\u{FFFD}A", ""])
        #expect(try chunks([0xE6, 0x97]) == ["", "", "\u{FFFD}\u{FFFD}"])
        #expect(try chunks([0xE0, 0x80]) == ["", "\u{FFFD}\u{FFFD}", ""])
        #expect(try chunks([0xED, 0xA0, 0x80]) == ["", "\u{FFFD}\u{FFFD}", "\u{FFFD}", ""])
        #expect(try chunks([0xF0, 0x9F, 0xE6, 0x97, 0xA5]) == ["", "", "\u{FFFD}\u{FFFD}", "", "日", ""])
    }

    @Test("an id outside the vocabulary throws and leaves the decoder usable")
    func unknownID() throws {
        var decoder = try TinyModel.tokenizer().streamDecoder()
        #expect(throws: TokenizationError.self) { try decoder.append(100_000) }
        #expect(try decoder.append(3 + 0x41) == "A")
    }
}
