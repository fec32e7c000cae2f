import Foundation
import TestSupport
import Testing

@testable import Tokenization

@Suite("Byte-level BPE against recorded ids", .tags(.golden))
struct ByteLevelBPEGoldenTests {
    @Test("SmolLM2's ids and texts are those of llama.cpp and Hugging Face", .enabled(if: SmolLM2.isFetched))
    func smollm2() throws {
        let golden = try SmolLM2.read()
        let tokenizer = try SmolLM2.tokenizer.get()
        var tally = Tally()
        for entry in golden.cases {
            let name = entry.text.debugDescription
            tally.compare(tokenizer.encode(PromptText(quoting: entry.text)), entry.ids, "ids of \(name)")
            tally.compare(tokenizer.encode(entry.text), entry.ids_special, "ids_special of \(name)")
            tally.compare(try tokenizer.decode(entry.ids), entry.decoded, "text of \(name)")
        }
        tally.expect(3 * golden.cases.count)
        #expect(tokenizer.vocabularySize == golden.vocab_size)
        #expect(try golden.vocabulary().merges.count == golden.num_merges)
        #expect(golden.control_tokens.allSatisfy { tokenizer.controlID(of: $0.key) == $0.value })
        #expect(Set(golden.control_tokens.values) == tokenizer.specialIDs)
        let missing = (0...255).filter { tokenizer.vocabulary.byteIDs[$0] < 0 }
        #expect(missing == golden.bytes_without_token.map(Int.init))
        #expect(!tokenizer.addsBOS)
    }

    @Test(
        "the ids of llama.cpp's own test vocabularies are equal", .enabled(if: LlamaCppVocabulary.areFetched),
        arguments: ["llama-spm", "llama-bpe", "gpt-2", "qwen2"])
    func vectors(name: String) throws {
        let vocabulary = LlamaCppVocabulary(name: name)
        let tokenizer = try vocabulary.vocabulary().tokenizer()
        let cases = try vocabulary.cases()
        var tally = Tally()
        for (text, ids) in cases {
            let prompt = PromptText(quoting: text)
            tally.compare(tokenizer.encode(prompt, addingSpecialTokens: false), ids, text.debugDescription)
            tally.compare(try tokenizer.decode(ids), text, "text of \(ids)")
        }
        tally.expect(2 * cases.count)
        #expect(cases.count > 40)
    }
}
