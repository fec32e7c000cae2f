import Foundation
import LLaVAPipeline
import TestSupport
import Testing
import Tokenization

@Suite struct AnswerTextPropertyTests {
    private func assistant(_ template: String) throws -> Assistant {
        try Assistant(
            LLaVAModel.load(from: Fixtures.directory.appending(path: "tiny-model").path), templateName: template)
    }

    /// The chunks in which an answer's text comes out, token by token.
    private func chunks(_ text: String, template: String) throws -> (chunks: [String], isComplete: Bool) {
        let assistant = try assistant(template)
        var answer = assistant.answerText()
        var chunks: [String] = []
        for token in assistant.tokenizer.encode(text, addingSpecialTokens: false) {
            chunks.append(answer.append(token))
        }
        chunks.append(answer.finish())
        #expect(chunks.joined() == answer.text)
        return (chunks, answer.isComplete)
    }

    @Test("text up to the stop text is the answer, stripped of white space around it")
    func stopText() throws {
        #expect(try chunks("  a red cup ###Human: more", template: "v0").chunks.joined() == "a red cup")
        #expect(try chunks("  a red cup ###Human: more", template: "v0").isComplete)
        #expect(try chunks("a ## b # c", template: "v0").chunks.joined() == "a ## b # c")
        #expect(try chunks("one ##", template: "v0").chunks.joined() == "one ##")
        #expect(try !chunks("one ##", template: "v0").isComplete)
    }

    @Test("white space inside an answer is kept, at its ends it is not")
    func whiteSpace() throws {
        #expect(try chunks("\n a\n\n b \n ", template: "vicuna_v1").chunks.joined() == "a\n\n b")
        #expect(try chunks(" \n ", template: "vicuna_v1").chunks.joined() == "")
    }

    @Test("characters of several bytes come out whole")
    func characters() throws {
        let text = "naïve 日本 🙂 ok"
        let result = try chunks(text, template: "vicuna_v1").chunks
        #expect(result.joined() == text)
        #expect(result.allSatisfy { !$0.unicodeScalars.contains("\u{FFFD}") })
    }
}
