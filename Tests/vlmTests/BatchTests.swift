import Foundation
import TestSupport
import Testing

@Suite struct BatchTests {
    private let directory: URL

    init() throws {
        directory = try Fixtures.temporaryDirectory()
        for (name, path) in [("a.png", Pictures.png), ("b.jpg", Pictures.jpeg)] {
            try FileManager.default.copyItem(atPath: path, toPath: directory.appending(path: name).path)
        }
    }

    private static let good = [
        #"{"id": 7, "image": "a.png", "question": "what is it?", "visual_tokens": 3}"#,
        #"{"image": "b.jpg", "question": "how many?"}"#, #"{"question": "hello?"}"#,
        #"{"id": "x", "image": "a.png", "question": "where?"}"#,
    ]

    private func file(_ lines: [String]) throws -> String {
        let path = directory.appending(path: "questions.jsonl").path
        try Data(lines.joined(separator: "\n").utf8).write(to: URL(filePath: path))
        return path
    }

    private func batch(_ lines: [String], _ arguments: String...) throws -> CommandRun {
        try BuiltCommand("vlm").run(
            ["ask", "--model", TinyModel.path, "--batch", file(lines), "--max-tokens", "5", "-m", "8"] + arguments)
    }

    private func objects(_ text: String) throws -> [[String: Any]] {
        try text.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }

    @Test("a batch gives the answers that single questions give, in order")
    func answers() throws {
        let run = try batch(Self.good)
        try #require(run.ending == .status(0), "\(run.stderr)")
        let answers = try objects(run.stdout)
        #expect(answers.map { $0["line"] as? Int } == [1, 2, 3, 4])
        #expect(answers.map { $0["visual_tokens"] as? Int } == [3, 8, nil, 8])
        #expect(answers[0]["id"] as? Int == 7 && answers[3]["id"] as? String == "x")
        let alone = try [
            ask("--image", Pictures.png, "-m", "3", "--max-tokens", "5", "what is it?"),
            ask("--image", Pictures.jpeg, "-m", "8", "--max-tokens", "5", "how many?"),
            ask("--max-tokens", "5", "hello?"), ask("--image", Pictures.png, "-m", "8", "--max-tokens", "5", "where?"),
        ]
        #expect(answers.map { ($0["answer"] as? String).map { $0 + "\n" } } == alone.map(\.stdout))
    }

    @Test(
        "a line that cannot be answered is reported with its number and stops no other",
        arguments: [
            ("{", "JSON"), (#"{"image": "a.png"}"#, "question"),
            (#"{"image": "none.png", "question": "q"}"#, "none.png"),
            (#"{"image": "../a.png", "question": "q"}"#, "outside"), (#"{"image": 3, "question": "q"}"#, "image"),
            (#"{"image": "a.png", "question": "q", "visual_tokens": 65}"#, "1...64"),
            (#"{"question": "q", "visual_tokens": 4}"#, "there is none"), (#"{"question": " "}"#, "empty"),
            (#"{"image": "questions.jsonl", "question": "q"}"#, "questions.jsonl"),
        ])
    func brokenLine(line: String, word: String) throws {
        let run = try batch([Self.good[0], "", line, Self.good[3]])
        #expect(run.ending == .status(1) && run.stderr.contains("line 3") && run.stderr.contains("answered: 1"))
        let answers = try objects(run.stdout)
        #expect(answers.map { $0["line"] as? Int } == [1, 3, 4])
        #expect((answers[1]["error"] as? String)?.contains(word) == true, "\(answers[1])")
        #expect(answers[2]["answer"] is String && answers[1]["answer"] == nil)
    }

    @Test(
        "a batch goes on behind the answers of its file, a cut one is given again, and those of another file are refused"
    )
    func resuming() throws {
        let out = directory.appending(path: "answers.jsonl")
        #expect(try batch(Self.good, "--out", out.path).ending == .status(0))
        let whole = try String(contentsOf: out, encoding: .utf8)
        let lines = whole.split(separator: "\n")
        try Data((lines[0] + "\n" + lines[1] + "\n" + lines[2].prefix(20)).utf8).write(to: out)
        let run = try batch(Self.good, "--out", out.path)
        #expect(run.ending == .status(0) && run.stdout == "")
        func answers(_ text: String) throws -> [String?] { try objects(text).map { $0["answer"] as? String } }
        let resumed = try String(contentsOf: out, encoding: .utf8)
        #expect(try answers(resumed) == answers(whole) && resumed.hasPrefix(lines[0] + "\n" + lines[1] + "\n"))
        expectRefusal(try batch([Self.good[0]], "--out", out.path), 1, "other settings")
        expectRefusal(try batch(Self.good, "--out", directory.path + "/a.png/x"), 1, "a.png/x")
    }

    @Test(
        "options that a batch has no use for are refused",
        arguments: [
            (["--batch", "q", "what?"], "--batch"), (["--batch", "q", "--json"], "--json"),
            (["--batch", "q", "--image", "a.png"], "--batch"), (["--out", "o", "what?"], "--out"),
            (["--allow-outside", "what?"], "--allow-outside"),
        ])
    func refusals(arguments: [String], word: String) throws {
        expectRefusal(try asking(arguments), 2, word)
    }

    private func asking(_ arguments: [String]) throws -> CommandRun {
        try BuiltCommand("vlm").run(["ask", "--model", TinyModel.path] + arguments)
    }

    @Test("a batch that is not there, or a budget that no line can have, is an error at once")
    func missing() throws {
        expectRefusal(try asking(["--batch", directory.path + "/none.jsonl"]), 1, "none.jsonl")
        expectRefusal(try asking(["--batch", file([""])]), 1, "no examples")
        expectRefusal(try asking(["--batch", file(Self.good), "-m", "100"]), 2, "1...64")
    }
}
