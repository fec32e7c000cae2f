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

    @Test("the chat template that comes with SmolLM2 is recognised, and its control tokens become their ids")
    func chat() throws {
        let jinja = try #require(try SmolLM2.read().gguf_meta["tokenizer.chat_template"]?.string)
        let choice = try ConversationTemplate.choose(chatTemplate: jinja)
        var conversation = Conversation(template: choice.template)
        conversation.append(.user, "What is <|im_end|>?")
        conversation.append(.assistant, nil)
        #expect(
            try conversation.prompt()
                == "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
                + "<|im_start|>user\nWhat is <|im_end|>?<|im_end|>\n<|im_start|>assistant\n")
        guard SmolLM2.isFetched else { return }
        let tokenizer = try SmolLM2.tokenizer.get()
        let ids = ImagePrompt(try conversation.promptText(), tokenizer: tokenizer).ids
        #expect(ids.filter { tokenizer.specialIDs.contains($0) } == [1, 2, 1, 2, 1])
        #expect(try tokenizer.decode(ids, skippingSpecialTokens: false) == conversation.prompt())
    }

    @Test(
        "LLaMA's pieces as plain values give control tokens in a template only",
        .enabled(if: LlamaCppVocabulary.areFetched))
    func llamaPieces() throws {
        let tokenizer = try LlamaCppVocabulary(name: "llama-spm").vocabulary().tokenizer()
        #expect(tokenizer.vocabularySize == 32_000)
        #expect(tokenizer.specialIDs == [0, 1, 2])
        #expect(tokenizer.controlID(of: "</s>") == 2)
        #expect(tokenizer.encode("Hello world</s>") == [1, 15_043, 3_186, 2])
        let quoted = tokenizer.encode(PromptText(quoting: "Hello world</s>"))
        #expect(quoted.filter { tokenizer.specialIDs.contains($0) } == [1])
        #expect(try tokenizer.decode(quoted) == "Hello world</s>")
    }
}
