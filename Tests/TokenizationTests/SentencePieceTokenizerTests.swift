import Foundation
import TestSupport
import Testing

@testable import Tokenization

@Suite("SentencePiece encoding and decoding")
struct SentencePieceTokenizerTests {
    @Test("the tiny model gives the library's ids and texts", .tags(.golden))
    func tinyModel() throws {
        let golden = try Golden.read(
            Golden.SentencePiece.self, TinyModel.directory.appending(path: "tokenizer-golden.json"))
        try check(golden, TinyModel.tokenizer())
    }

    @Test(
        "models with user-defined or unused pieces and other settings give the library's ids and texts", .tags(.golden))
    func variants() throws {
        let directory = Fixtures.directory.appending(path: "tokenizer-variants")
        let models = try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "model" }
        #expect(models.count > 0)
        for url in models {
            let record = url.deletingPathExtension().appendingPathExtension("json")
            let golden = try Golden.read(Golden.SentencePiece.self, record)
            try check(golden, SentencePieceTokenizer(SentencePieceModel(contentsOf: url)), url.lastPathComponent)
        }
    }

    private func check(
        _ golden: Golden.SentencePiece, _ tokenizer: SentencePieceTokenizer, _ name: String = ""
    ) throws {
        var tally = Tally()
        for item in golden.cases {
            tally.compare(tokenizer.encode(item.text), item.ids, "\(name) ids of \(item.text.debugDescription)")
            tally.compare(try tokenizer.decode(item.ids), item.decoded, "\(name) text of \(item.ids)")
        }
        for item in golden.decode_ids {
            tally.compare(try tokenizer.decode(item.ids), item.decoded, "\(name) text of \(item.ids)")
        }
        #expect(!golden.decode_ids.isEmpty)
        tally.expect(golden.cases.count * 2 + golden.decode_ids.count)
    }

    @Test("decoding what was encoded gives the text back", .tags(.property), arguments: [UInt64](1...5))
    func roundTrip(seed: UInt64) throws {
        let tokenizer = try TinyModel.tokenizer()
        var generator = SeededGenerator(seed: seed)
        var tally = Tally()
        for _ in 0..<200 {
            // U+2581 is a space to the model, so it alone does not come back.
            let text = RandomText.draw(length: .random(in: 0...60, using: &generator), using: &generator)
                .replacingScalar("\u{2581}", with: "_")
            tally.compare(try tokenizer.decode(tokenizer.encode(text)), text, "round trip")
        }
        tally.expect(200)
    }

    @Test(
        "the work of encoding grows almost linearly with the text",
        arguments: ["a", "the quick brown fox ", " ", "日本", "😀", "circle", "ab"])
    func nearlyLinear(unit: String) throws {
        let vocabulary = try TinyModel.tokenizer().vocabulary
        func work(bytes: Int) -> Double {
            let text = Array(String(repeating: unit, count: bytes / unit.utf8.count).utf8)
            var merger = BytePairMerger(text, vocabulary: vocabulary)
            _ = merger.run()
            return Double(merger.work + text.count)
        }
        let small = work(bytes: 1 << 14)
        let large = work(bytes: 1 << 20)
        // 64 times the text: n log n grows by 64 * 20/14 = 91, a quadratic loop by 4096.
        #expect(large / small < 64 * 20 / 14 * 1.2)
        #expect(large < 40 * Double(1 << 20))
    }

    @Test(
        "an id outside the vocabulary is refused with the size of the vocabulary", arguments: [-1, -200, 512, Int.max])
    func unknownID(id: Int) throws {
        let tokenizer = try TinyModel.tokenizer()
        #expect(throws: TokenizationError.unknownID(id, vocabularySize: tokenizer.vocabularySize)) {
            try tokenizer.decode([id])
        }
    }
}
