import Bytes
import Foundation
import LLaVAPipeline
import ModelFiles
import Tensors
import TestSupport
import Testing
import Tokenization

@Suite struct ChatTests {
    private func chat(_ lines: String..., flags: [String] = []) throws -> CommandRun {
        let input = Data(lines.map { $0 + "\n" }.joined().utf8)
        return try BuiltCommand("vlm").run(["chat", "--model", TinyModel.path] + flags, input: input)
    }

    @Test("answers alone go to standard output, one after the other, and the end of input ends the chat")
    func streams() throws {
        let run = try chat("hello", "", "and now?", flags: ["--max-tokens", "5"])
        #expect(run.ending == .status(0))
        #expect(run.stdout.hasPrefix(try ask("--max-tokens", "5", "hello").stdout))
        #expect(run.stderr.contains("untrained") && !run.stderr.contains("error"))
        #expect(try chat("/quit", "hello").stdout == "")
    }

    @Test("a turn's answer is the one a fresh process gives to the whole conversation", arguments: [1, 3, 40])
    func turns(maximumTokens: Int) throws {
        let images = [Pictures.png, Pictures.jpeg]
        let questions = ["what is it?", "and the colour?", "and this?", "sure?"]
        let run = try chat(
            "/image \(images[0])", questions[0], questions[1], "/image \(images[1])", questions[2], questions[3],
            flags: ["--max-tokens", "\(maximumTokens)"])
        #expect(run.ending == .status(0), "\(run.stderr)")

        let assistant = try Assistant(LLaVAModel.load(from: TinyModel.path))
        var history: [Conversation.Message] = []
        var expected = ""
        for (turn, question) in questions.enumerated() {
            let shown = turn < 2 ? 1 : 2
            let conversation = try assistant.conversation(
                after: history, asking: question, images: turn == 0 || turn == 2 ? 1 : 0)
            let traced = try trace(
                images.prefix(shown).flatMap { ["--image", $0] }
                    + ["--prompt", conversation.prompt(), "--max-tokens", "\(maximumTokens)"])
            let answer = try text(of: try #require(traced["generated_ids"]).integers, assistant)
            expected += answer + "\n"
            history = conversation.messages.dropLast() + [Conversation.Message(role: .assistant, text: answer)]
        }
        #expect(run.stdout == expected)
    }

    /// The text of an answer's tokens, up to its end.
    private func text(of ids: [Int], _ assistant: Assistant) throws -> String {
        var answer = assistant.answerText()
        for id in ids {
            if answer.isComplete || assistant.endTokens.contains(id) { break }
            _ = answer.append(id)
        }
        _ = answer.finish()
        return answer.text
    }

    @Test("/budget, /image and /reset do what they say")
    func commands() throws {
        let run = try chat(
            "/budget 5", "/image \(Pictures.png)", "what?", "/reset", "/budget", "/image \(Pictures.png)@7",
            "/image \(Pictures.png)", "/quit", flags: ["--max-tokens", "4", "-m", "9"])
        #expect(run.ending == .status(0))
        #expect(run.stderr.contains(": 5 visual tokens") && run.stderr.contains(": 7 visual tokens"))
        #expect(run.stderr.contains("anew"))
        #expect(run.stdout == (try ask("--image", Pictures.png, "-m", "5", "--max-tokens", "4", "what?").stdout))
        // /budget alone goes back to the default, the one of the command line.
        #expect(run.stderr.contains(": 9 visual tokens"), "\(run.stderr)")

        let fresh = try chat("what?", "/reset", "what?", flags: ["--max-tokens", "6"])
        let answer = try ask("--max-tokens", "6", "what?").stdout
        #expect(fresh.stdout == answer + answer)
    }

    @Test("a bad line is reported and the conversation goes on")
    func badLines() throws {
        let run = try chat(
            "/image /nowhere.png", "/image", "/image -", "/budget 0", "/budget 65", "/budget many", "/nonsense",
            "/quit now",
            "<image>", "hello", "/quit", flags: ["--max-tokens", "5"])
        #expect(run.ending == .status(0))
        #expect(run.stdout == (try ask("--max-tokens", "5", "hello").stdout))
        let errors = run.stderr.split(separator: "\n").filter { $0.hasPrefix("error:") }
        #expect(errors.count == 9, "\(run.stderr)")
        for (error, word) in zip(
            errors, ["/nowhere.png", "/image", "/image", "1...64", "1...64", "many", "/nonsense", "/quit now", "empty"])
        {
            #expect(error.contains(word), "\(word) is not in: \(error)")
        }
    }

    @Test("Ctrl-C stops an answer and not the program")
    func interruptedAnswer() throws {
        let whole = try answer("--max-tokens", "1800", "tell me all")
        let text = try #require(whole["answer"]?.string)
        try #require(try #require(whole["answer_tokens"]?.int) > 1000, "the answer is too short to be interrupted")

        let running = try BuiltCommand("vlm").start(["chat", "--model", TinyModel.path, "--max-tokens", "1800"])
        running.write("tell me all")
        try #require(running.wait { $0.outputSoFar.count > 20 }, "no answer came")
        running.send(SIGINT)
        running.write("/budget 0")
        #expect(running.wait { $0.errorsSoFar.contains("1...64") }, "the program takes the next line")
        let length = running.outputSoFar.count
        #expect(running.isRunning)
        running.write("hello", "/quit")
        let run = running.finish()
        #expect(run.ending == .status(0))
        #expect(run.output.count > length + 1, "the next question is answered")
        let stopped = String(decoding: run.output.prefix(length - 1), as: UTF8.self)
        #expect(text.hasPrefix(stopped) && stopped.count < text.count)
    }

    @Test("Ctrl-C at the prompt ends the program with 130")
    func interruptedPrompt() throws {
        let running = try BuiltCommand("vlm").start(["chat", "--model", TinyModel.path])
        running.write("/reset")
        try #require(running.wait { $0.errorsSoFar.contains("anew") })
        running.send(SIGINT)
        let run = running.finish(timeLimit: 10)
        #expect(run.ending == .status(130) && run.stdout == "")
    }
}
