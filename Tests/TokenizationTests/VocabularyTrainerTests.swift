import Foundation
import TestSupport
import Testing

@testable import Tokenization

@Suite struct VocabularyTrainerTests {
    private static let texts = [
        "what colour is the large circle?", " red", " how many stars are there?", " 2",
        "is the star left of the circle?",
        " yes", " is the star above the red ring?", " no",
    ]

    private static func tokenizer(
        _ kind: VocabularyTrainer.Kind, _ size: Int, _ texts: [String] = texts
    ) throws -> (any Tokenizer, [String: Data]) {
        var trainer = VocabularyTrainer(kind, size: size)
        texts.forEach { trainer.add($0) }
        let files = try trainer.files()
        let directory = try Fixtures.temporaryDirectory()
        for (name, data) in files { try data.write(to: directory.appending(path: name)) }
        return (try TokenizerDirectory.tokenizer(in: directory), files)
    }

    @Test("every text comes back from its ids, words of the data are single ids, BOS stands in front")
    func words() throws {
        let (tokenizer, _) = try Self.tokenizer(.words, 400)
        for text in Self.texts + ["Ünbekannt 漢字 \u{0} \n\t x"] {
            #expect(try tokenizer.decode(tokenizer.encode(text)) == text)
        }
        #expect(tokenizer.bosID == 1 && tokenizer.eosID == 2 && tokenizer.encode(" red").count == 2)
        #expect(tokenizer.encode(" is the star", addingSpecialTokens: false).count == 3)
        #expect(tokenizer.controlID(of: "<|im_end|>") == 4)
    }

    @Test("byte pairs merge by frequency, ties by text, up to the size")
    func bytePairs() throws {
        // "aa" occurs 4 times, "ab" and "bb" fewer.
        let (tokenizer, _) = try Self.tokenizer(.bytePairs, 263, ["aa", "aa", "aa", "aab"])
        #expect(tokenizer.vocabularySize == 262)
        #expect(tokenizer.encode("aa", addingSpecialTokens: false) == [261])
        let (larger, _) = try Self.tokenizer(.bytePairs, 400)
        // No pair occurs twice any more before the size is reached.
        #expect(larger.vocabularySize == 279)
        for text in Self.texts + ["Ünbekannt 漢字"] { #expect(try larger.decode(larger.encode(text)) == text) }
        #expect(larger.encode(" star", addingSpecialTokens: false).count == 1)
    }

    @Test(
        "the same texts in another order give the same bytes, and no more tokens than asked for",
        arguments: VocabularyTrainer.Kind.allCases)
    func deterministic(kind: VocabularyTrainer.Kind) throws {
        let (_, files) = try Self.tokenizer(kind, 275)
        let (tokenizer, reversed) = try Self.tokenizer(kind, 275, Self.texts.reversed())
        #expect(files == reversed)
        #expect(tokenizer.vocabularySize == 275)
    }
}
