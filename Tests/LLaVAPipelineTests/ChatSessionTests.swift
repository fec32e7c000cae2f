import Foundation
import LanguageDecoder
import LLaVAPipeline
import PMoD
import TestSupport
import Testing
import Tokenization
import VisionEncoder

@Suite struct ChatSessionTests {
    private func visual(_ assistant: Assistant, _ path: String, _ budget: Int) throws -> VisualTokens {
        let model = assistant.model
        return try model.visualTokens(
            from: model.encode(model.process(RGBImage(contentsOf: path))), budget: model.budget(budget))
    }

    /// The answer to the end of a conversation that is fed to the decoder at once.
    private func answer(
        _ assistant: Assistant, _ conversation: Conversation, _ images: [VisualTokens], _ maximumTokens: Int
    ) throws -> String {
        let prompt = try assistant.model.prompt(assistant.ids(of: conversation), images: images)
        var generation = try Generation(
            assistant.model.decoder, prompt, sampling: SamplingOptions(), maximumTokens: maximumTokens,
            endTokens: assistant.endTokens)
        var text = assistant.answerText()
        while !text.isComplete, let token = generation.next() { _ = text.append(token) }
        _ = text.finish()
        return text.text
    }

    /// Turns of a conversation with the images shown before each; gives the tokens that each turn took from the cache.
    private func converse(
        _ model: String, options: LoadOptions = LoadOptions(), _ turns: [(question: String, images: [String])],
        _ maximumTokens: Int
    ) throws -> [Int] {
        let assistant = try Assistant(LLaVAModel.load(from: model, options: options))
        var session = ChatSession(assistant)
        var (history, images, reused) = ([Conversation.Message](), [VisualTokens](), [Int]())
        for turn in turns {
            let shown = try turn.images.map { try visual(assistant, $0, 30) }
            session.show(shown)
            images += shown
            let conversation = try assistant.conversation(after: history, asking: turn.question, images: shown.count)
            let fresh = try answer(assistant, conversation, images, maximumTokens)
            let cached = try session.answer(
                turn.question, sampling: SamplingOptions(), maximumTokens: maximumTokens, show: { _ in })
            #expect(cached == fresh, "\(turn.question)")
            reused.append(session.reusedTokens)
            history = conversation.messages.dropLast() + [Conversation.Message(role: .assistant, text: cached)]
        }
        return reused
    }

    private let questions = ["what is it?", "how many?", "and the colour?", "why?"]

    @Test("a turn answers from the cache what it answers without, and does use the cache", arguments: [1, 2, 30])
    func images(maximumTokens: Int) throws {
        let turns = questions.enumerated().map { ($1, $0 == 0 ? [Pictures.png, Pictures.jpeg] : []) }
        let reused = try converse(TinyModel.path, turns, maximumTokens)
        #expect(reused[0] == 0)
        // One token is never fed back, so whatever it was, the prompt before it is continued.
        if maximumTokens == 1 { #expect(reused.dropFirst().allSatisfy { $0 > 60 }, "\(reused)") }
    }

    @Test("an image in a later turn makes a mixture of depths choose anew, and a dense decoder go on")
    func laterImage() throws {
        let turns = [
            (questions[0], [Pictures.png]), (questions[1], []), (questions[2], [Pictures.jpeg]), (questions[3], []),
        ]
        let mixture = try converse(TinyModel.path, turns, 1)
        #expect(mixture[1] > 0 && mixture[2] == 0 && mixture[3] > 0, "\(mixture)")
        let dense = try TinyModel.copy { tensors in
            tensors = Dictionary(
                uniqueKeysWithValues: tensors.filter { !$0.key.contains("router") }.map {
                    ($0.key.replacingOccurrences(of: ".decoder_layer.", with: "."), $0.value)
                })
        }
        try TinyModel.change(["mod_target_layers": nil], in: dense.appending(path: "config.json"))
        let reused = try converse(dense.path, turns, 1)
        #expect(reused.dropFirst().allSatisfy { $0 > 0 }, "\(reused)")
    }

    @Test("where text may be skipped too, every turn is read anew")
    func allTokens() throws {
        var options = LoadOptions()
        options.configOverrides = [(key: "mod_target_token_type", value: "all")]
        let turns = questions.map { ($0, [String]()) }
        #expect(try converse(TinyModel.path, options: options, turns, 1) == [0, 0, 0, 0])
    }

    @Test("a reset forgets everything, and a cancelled answer stops at once")
    func reset() throws {
        let assistant = try Assistant(LLaVAModel.load(from: TinyModel.path))
        var session = ChatSession(assistant)
        func ask(_ session: inout ChatSession, cancelled: Bool = false) throws -> String {
            try session.answer(
                "what?", sampling: SamplingOptions(), maximumTokens: 6, isCancelled: { cancelled }, show: { _ in })
        }
        let first = try ask(&session)
        #expect(!first.isEmpty)
        session.show([try visual(assistant, Pictures.png, 4)])
        session.reset()
        #expect(try ask(&session) == first)
        #expect(try ask(&session, cancelled: true) == "")
    }
}
