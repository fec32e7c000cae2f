import Foundation
import TestSupport
import Testing

@testable import Tokenization

@Suite("Reading tokenizer.model")
struct SentencePieceModelTests {
    @Test("damaged models are refused or read, and never crash", .tags(.property), arguments: [UInt64](1...8))
    func mutations(seed: UInt64) throws {
        let original = try TinyModel.bytes()
        var generator = SeededGenerator(seed: seed)
        var refused = 0
        for _ in 0..<100 {
            var bytes = original
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: bytes.removeLast(Int.random(in: 1..<bytes.count, using: &generator))
            case 1: bytes.removeSubrange(randomRange(bytes.count, &generator))
            case 2: bytes.insert(contentsOf: bytes[randomRange(bytes.count, &generator)], at: bytes.count / 2)
            default: break
            }
            for _ in 0..<Int.random(in: 1...8, using: &generator) {
                // Half of the hits go to the end, where the trainer and normaliser settings are.
                let isTail = bytes.count > 400 && Bool.random(using: &generator)
                let index = Int.random(in: (isTail ? bytes.count - 400 : 0)..<bytes.count, using: &generator)
                bytes[index] = UInt8.random(in: 0...255, using: &generator)
            }
            do {
                let tokenizer = try SentencePieceTokenizer(SentencePieceModel(bytes: bytes, file: "damaged"))
                let ids = tokenizer.encode("The red star <s> 日😀 is left of the circle.")
                _ = try tokenizer.decode(ids)
            } catch {
                refused += 1
                #expect(error.description.contains("damaged"))
            }
        }
        #expect(refused > 0)
    }

    private func randomRange(_ count: Int, _ generator: inout SeededGenerator) -> Range<Int> {
        let start = Int.random(in: 0..<count, using: &generator)
        return start..<min(count, start + Int.random(in: 1...200, using: &generator))
    }

    @Test("every truncation of a model is refused or read, and never crashes")
    func truncations() throws {
        let bytes = try TinyModel.bytes()
        for count in stride(from: 0, to: bytes.count, by: 13) {
            #expect(throws: TokenizationError.self) {
                try SentencePieceModel(bytes: Array(bytes[..<count]), file: "damaged")
            }
        }
    }

    @Test(
        "a model of another type is refused by the type's name", arguments: [(1, "UNIGRAM"), (3, "WORD"), (4, "CHAR")])
    func otherType(type: UInt8, name: String) {
        expectUnsupported(ModelBytes.model(trainer: [0x18, type]), field: "trainer_spec.model_type", found: name)
        expectUnsupported(ModelBytes.model(trainer: []), field: "trainer_spec.model_type", found: "UNIGRAM")
    }

    @Test("a normaliser that rewrites characters is refused by its name")
    func characterMap() {
        let normalizer: [UInt8] = ModelBytes.field(1, Array("nmt_nfkc".utf8)) + ModelBytes.field(2, [1, 2, 3])
        expectUnsupported(
            ModelBytes.model(normalizer: normalizer), field: "normalizer_spec.precompiled_charsmap", found: "nmt_nfkc")
    }

    private func expectUnsupported(_ bytes: [UInt8], field: String, found: String) {
        let error = #expect(throws: TokenizationError.self) { try SentencePieceModel(bytes: bytes, file: "m") }
        guard case .unsupportedModel("m", field, let got, _) = error else {
            Issue.record("unexpected \(String(describing: error))")
            return
        }
        #expect(got.contains(found))
    }

    @Test("a sound minimal model is read, so that the refusals below are for their own reason")
    func minimal() throws {
        let model = try SentencePieceModel(bytes: ModelBytes.model(), file: "m")
        #expect(model.pieces.map(\.text) == ["<unk>", "a"])
        #expect(model.bosID == nil)
        #expect(try SentencePieceTokenizer(model).encode("aa") == [0, 1, 1])
    }

    @Test("unusable vocabularies are refused with what is wrong")
    func vocabularies() {
        let cases: [([UInt8], String)] = [
            (ModelBytes.model(pieces: [ModelBytes.piece("a")]), "exactly one"),
            (ModelBytes.model(pieces: [ModelBytes.unknown, ModelBytes.unknown]), "exactly one"),
            (ModelBytes.model(pieces: [ModelBytes.unknown, ModelBytes.piece("")]), "empty"),
            (ModelBytes.model(pieces: [ModelBytes.unknown, ModelBytes.piece("a"), ModelBytes.piece("a")]), "twice"),
            (
                ModelBytes.model(pieces: [ModelBytes.unknown, ModelBytes.piece("<0x41>", type: 6)]),
                "byte_fallback is off"
            ),
            (ModelBytes.model(trainer: ModelBytes.bpe + [0x98, 0x02, 1]), "256 byte pieces"),
            (ModelBytes.model(trainer: ModelBytes.bpe + [0xC8, 0x02, 99]), "bos_id"),
        ]
        for (bytes, problem) in cases {
            let error = #expect(throws: TokenizationError.self) {
                try SentencePieceTokenizer(SentencePieceModel(bytes: bytes, file: "m"))
            }
            #expect(error?.description.contains(problem) == true, "\(String(describing: error))")
        }
    }

    @Test("errors name the field and the byte offset")
    func places() {
        let good = ModelBytes.field(1, ModelBytes.unknown)
        let cases: [([UInt8], String, Int)] = [
            (good + [0x0A, 0x7F, 1], "model.field 1", good.count),
            (good + [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], "model.field 1", good.count),
            (good + [0x0A, 0x02, 0x0A, 0x05], "pieces[1].field 1", good.count + 2),
            (good + [0x0A, 0x03, 0x0A, 0x01, 0xFF], "pieces[1].piece", good.count + 2),
            (good + [0x0A, 0x02, 0x15, 0x00], "pieces[1].field 2", good.count + 2),
            (good + [0x0A, 0x05, 0x15, 0, 0, 0xC0, 0x7F], "pieces[1].score", good.count + 2),
            (good + [0x0A, 0x02, 0x18, 0x63], "pieces[1].type", good.count + 2),
            (good + [0x0B], "model.field 1", good.count),
            (good + [0x02, 0x00], "model.a field's tag", good.count),
            (good + [0x80], "model.a field's tag", good.count),
            (good + [UInt8](repeating: 0xFF, count: 12), "model.a field's tag", good.count),
        ]
        for (bytes, field, offset) in cases {
            let error = #expect(throws: TokenizationError.self) { try SentencePieceModel(bytes: bytes, file: "m") }
            guard case .damagedModel("m", let gotField, let gotOffset, _) = error else {
                Issue.record("unexpected \(String(describing: error))")
                continue
            }
            #expect(gotField == field)
            #expect(gotOffset == offset)
        }
    }

    @Test("a file that is not there is refused with its path")
    func unreadable() throws {
        let error = #expect(throws: TokenizationError.self) {
            try SentencePieceModel(contentsOf: URL(filePath: "/nowhere/tokenizer.model"))
        }
        #expect(error?.description.contains("/nowhere/tokenizer.model") == true)
    }
}

/// Wire-format bytes of small models.
enum ModelBytes {
    static let unknown = piece("<unk>", type: 2)
    /// BPE, and no bos, eos or pad.
    static let bpe: [UInt8] =
        [0x18, 2] + [0xC8, 0x02] + minusOne + [0xD0, 0x02] + minusOne + [0xD8, 0x02] + minusOne
    private static let minusOne = [UInt8](repeating: 0xFF, count: 9) + [1]

    static func field(_ number: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [number << 3 | 2, UInt8(payload.count)] + payload
    }

    static func piece(_ text: String, type: UInt8 = 1) -> [UInt8] {
        field(1, Array(text.utf8)) + [0x15, 0, 0, 0, 0, 0x18, type]
    }

    static func model(
        pieces: [[UInt8]] = [unknown, piece("a")], trainer: [UInt8] = bpe, normalizer: [UInt8] = []
    ) -> [UInt8] {
        pieces.flatMap { field(1, $0) } + field(2, trainer) + field(3, normalizer)
    }
}
