import Testing

@testable import Tokenization

@Suite("Conversations and their templates")
struct ConversationTests {
    @Test("a LLAMA_2 conversation must open with a text of the user")
    func opening() throws {
        let template = try ConversationTemplate.named("llava_llama_2")
        for message in [Conversation.Message(role: .assistant, text: "hi"), .init(role: .user, text: nil)] {
            #expect(throws: TokenizationError.self) {
                try Conversation(template: template, messages: [message]).prompt()
            }
        }
    }

    @Test("a LLAMA_2 prompt loses the separator's characters at its front, even those that are its own text")
    func strippedFront() throws {
        let template = ConversationTemplate(
            name: "test", system: "", userRole: "USER", assistantRole: "ASSISTANT", style: .llama2, separator: "[<",
            secondSeparator: "</s>", version: "llama_v2")
        let conversation = Conversation(template: template, messages: [.init(role: .user, text: "hi")])
        #expect(try conversation.prompt() == "INST] hi [/INST]")
    }

    @Test(
        "the template follows from the model's name, and the reason says how",
        arguments: [
            ("llava-v1.5-7b", "llava_v1", "v1"), ("LLaVA-Llama-2-13B", "llava_llama_2", "llama-2"),
            ("llava-v1.6-mistral-7b", "mistral_instruct", "mistral"), ("llava-v1.6-34b", "chatml_direct", "v1.6-34b"),
            ("MQT-LLaVA-7b", "llava_v1", "mqt"), ("p-MoD-LLaVA-NeXT-7B", "llava_v1", "next"),
            ("p-MoD-LLaVA-v1.5-7B", "llava_v1", "v1"), ("mpt-7b", "mpt", "mpt"),
            ("my-next-model", "llava_v0", "none of"),
        ])
    func choice(model: String, template: String, reason: String) throws {
        let choice = try ConversationTemplate.choose(modelName: model)
        #expect(choice.template.name == template)
        #expect(choice.reason.contains(reason))
        #expect(choice.reason.contains(model))
    }

    @Test("the model type of a checkpoint counts where its name says nothing")
    func modelType() throws {
        let choice = try ConversationTemplate.choose(modelName: "next-7b", modelType: "pmod_llava_llama")
        #expect(choice.template.name == "llava_v1")
    }

    @Test("a named template wins over the model's name, and an unknown one is refused with the known names")
    func explicit() throws {
        let choice = try ConversationTemplate.choose(named: "vicuna_v1", modelName: "mpt-7b")
        #expect(choice.template.name == "vicuna_v1")
        #expect(choice.reason == "vicuna_v1 was asked for")
        let error = #expect(throws: TokenizationError.self) {
            try ConversationTemplate.choose(named: "v2", modelName: "mpt-7b")
        }
        #expect(error?.description.contains("vicuna_v1") == true)
    }

    @Test("generation stops on the separator that ends a reply")
    func stops() throws {
        #expect(try ConversationTemplate.named("llava_v1").stopText == "</s>")
        #expect(try ConversationTemplate.named("llava_v0").stopText == "###")
        #expect(try ConversationTemplate.named("mpt").stopText == "<|im_end|>")
    }
}
