import TestSupport
import Testing

@testable import Tokenization

@Suite("Pre-tokenisers")
struct PreTokenizerTests {
    private func stretches(_ text: String, _ preTokenizer: PreTokenizer) -> [String] {
        let bytes = Array(text.utf8)
        var result: [String] = []
        preTokenizer.forEachStretch(of: ClassifiedText(text)) {
            result.append(String(decoding: bytes[$0], as: UTF8.self))
        }
        return result
    }

    @Test(
        "text is cut as the published rules cut it",
        arguments: [
            (PreTokenizer.gpt2, "I don't  care", ["I", " don", "'t", " ", " care"]),
            (.gpt2, "abc123 456!? x", ["abc", "123", " 456", "!?", " x"]),
            (.gpt2, "a \n\n b\n", ["a", " \n\n", " b", "\n"]),
            (.gpt2, "I'LL 'ſ", ["I", "'", "LL", " '", "ſ"]),
            (.gpt2, "e\u{301}½ Ⅷ", ["e", "\u{301}", "½", " Ⅷ"]),
            (.smollm, "a  12 3", ["a", "  ", "1", "2", " ", "3"]),
            (.smollm, " ٣½x", [" ", "٣", "½", "x"]),
            (.llama3, "12345 67", ["123", "45", " ", "67"]),
            (.llama3, "I'LL we'Ve", ["I", "'LL", " we", "'Ve"]),
            (.llama3, "=x \t y!\r\n\nz", ["=x", " \t", " y", "!\r\n\n", "z"]),
            (.llama3, "a  \n  \n  b", ["a", "  \n  \n", " ", " b"]),
            (.llama3, "\u{A0}x ", ["\u{A0}x", " "]),
            (.qwen2, "12345", ["1", "2", "3", "4", "5"]),
        ])
    func examples(preTokenizer: PreTokenizer, text: String, expected: [String]) {
        #expect(stretches(text, preTokenizer) == expected)
    }

    @Test(
        "cutting by hand equals matching the published regular expression", .tags(.property),
        arguments: [PreTokenizer.gpt2, .llama3, .qwen2], [UInt64](1...4))
    func regularExpression(preTokenizer: PreTokenizer, seed: UInt64) throws {
        let pattern = try Regex(preTokenizer.pattern).matchingSemantics(.unicodeScalar)
        var generator = SeededGenerator(seed: seed)
        var tally = Tally()
        for _ in 0..<250 {
            let text = RandomText.drawForStretches(length: .random(in: 0...25, using: &generator), using: &generator)
            let expected = text.matches(of: pattern).map { String(text[$0.range]) }
            let got = stretches(text, preTokenizer)
            tally.record(got.elementsEqual(expected) { $0.hasSameScalars($1) }) {
                "\(text.debugDescription): \(got) instead of \(expected)"
            }
        }
        tally.expect(250)
    }

    @Test("the stretches cover the text", .tags(.property), arguments: PreTokenizer.allCases, [UInt64](1...2))
    func covering(preTokenizer: PreTokenizer, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var tally = Tally()
        for _ in 0..<250 {
            let text = RandomText.draw(length: .random(in: 0...40, using: &generator), using: &generator)
            var end = 0
            var isSound = true
            preTokenizer.forEachStretch(of: ClassifiedText(text)) {
                isSound = isSound && $0.lowerBound == end && !$0.isEmpty
                end = $0.upperBound
            }
            tally.record(isSound && end == text.utf8.count) { text.debugDescription }
        }
        tally.expect(250)
    }
}

extension RandomText {
    private static let telling = Array(
        "ab sStTmMdDrReEvVlL''''  \t\n\r\r\n12345½٣Ⅷ!?.é日\u{A0}\u{3000}\u{301}\u{2028}😀".unicodeScalars)

    /// Text of what pre-tokenisers distinguish.
    static func drawForStretches(length: Int, using generator: inout some RandomNumberGenerator) -> String {
        var scalars = String.UnicodeScalarView()
        for _ in 0..<length { scalars.append(telling.randomElement(using: &generator) ?? "a") }
        return String(scalars)
    }
}
