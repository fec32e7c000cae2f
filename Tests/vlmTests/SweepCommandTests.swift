import Foundation
import TestSupport
import Testing

@Suite struct SweepCommandTests {
    private let directory: URL

    init() throws { directory = try Fixtures.temporaryDirectory() }

    private var out: String { directory.appending(path: "report").path }

    private func sweep(_ arguments: String..., models: [String] = [TinyModel.path]) throws -> CommandRun {
        try BuiltCommand("vlm").run(
            ["sweep", "--out", out, "--max-tokens", "4"] + models.flatMap { ["--model", $0] } + arguments)
    }

    private func file(_ name: String) throws -> String {
        try String(contentsOf: directory.appending(path: "report/\(name)"), encoding: .utf8)
    }

    @Test("a sweep prints a table and writes CSV, JSON and a page, all of the same numbers")
    func files() throws {
        let run = try sweep("--data", "scenes", "--limit", "8", "--visual-tokens", "16,1,4", "--timed", "1")
        try #require(run.ending == .status(0), "\(run.stderr)")
        #expect(run.stdout.contains("8 questions") && run.stdout.contains("2 encodes"))
        #expect(run.stdout.contains("3 of 3 answers read from the beginning are the same"))
        #expect(run.stderr.contains("untrained") && run.stderr.contains("report.html"))

        let json = try #require(
            try JSONSerialization.jsonObject(with: Data(file("sweep.json").utf8)) as? [String: Any])
        let model = try #require((json["models"] as? [[String: Any]])?.first)
        let rows = try #require(model["rows"] as? [[String: Any]])
        #expect(rows.map { $0["visual_tokens"] as? Int } == [1, 4, 16] && model["encodes"] as? Int == 2)
        let data = try #require(json["dataset"] as? [String: Any])
        let checksum = try #require(data["checksum"] as? String)
        #expect(checksum.count == 64 && data["pictures"] as? Int == 2 && data["split"] as? String == "test")
        #expect(data["seed"] as? Int == 0)

        let lines = try file("sweep.csv").split(separator: "\n").map {
            $0.split(separator: ",", omittingEmptySubsequences: false)
        }
        #expect(lines.count == 4 && Set(lines.map(\.count)).count == 1)
        let column = try #require(lines[0].firstIndex(of: "kv_bytes"))
        #expect(lines.dropFirst().map { Double($0[column]) } == rows.map { $0["kv_bytes"] as? Double })
        #expect(try file("sweep.csv").contains(checksum))

        let page = try file("report.html")
        #expect(page.hasPrefix("<!doctype html>") && page.contains(checksum))
        #expect(
            page.components(separatedBy: "<figure>").count == 6 && page.components(separatedBy: "<article>").count == 9)
        #expect(page.contains("prefers-color-scheme: dark") && page.contains("data:image/png;base64,iVBOR"))
        #expect(!page.contains("http://") && !page.contains("https://") && !page.contains("<script"))
        try #expect(
            FileManager.default.contentsOfDirectory(atPath: out).sorted() == [
                "answers.jsonl", "plot.svg", "report.html", "sweep.csv", "sweep.json",
            ])
    }

    @Test("the same command again asks nothing anew, another one is refused")
    func resuming() throws {
        let first = try sweep("--data", "scenes", "--limit", "3", "--visual-tokens", "1,2")
        let log = try file("answers.jsonl")
        let second = try sweep("--data", "scenes", "--limit", "3", "--visual-tokens", "1,2")
        #expect(try first.stdout == second.stdout && file("answers.jsonl") == log)
        expectRefusal(try sweep("--data", "scenes", "--limit", "3", "--visual-tokens", "1,4"), 1, "[4, 1]", "[2, 1]")
    }

    @Test("an interrupted sweep says so, and goes on")
    func interrupt() throws {
        // Pictures that are soon done, and many of them: there are some behind it and some before it when it is stopped.
        let running = try BuiltCommand("vlm").start([
            "sweep", "--model", TinyModel.path, "--out", out, "--data", "scenes", "--visual-tokens", "1",
            "--max-tokens",
            "1", "--limit", "9000",
        ])
        let log = directory.appending(path: "report/answers.jsonl")
        let begun = running.wait(60) { _ in ((try? Data(contentsOf: log))?.split(separator: 10).count ?? 0) >= 2 }
        #expect(begun)
        running.send(SIGINT)
        let run = running.finish()
        #expect(run.ending == .status(130) && run.stderr.contains("goes on"), "\(run.ending) \(run.stderr)")
        #expect(run.stdout == "" && !FileManager.default.fileExists(atPath: out + "/sweep.json"))
    }

    @Test("questions of a person are swept, and names that look like HTML stay text")
    func ownFile() throws {
        try FileManager.default.copyItem(atPath: Pictures.png, toPath: directory.appending(path: "a.png").path)
        let questions = directory.appending(path: "q.jsonl").path
        try Data(
            #"{"image": "a.png", "question": "<script>alert(1)</script>", "answers": ["a & b", "c"], "type": "a,b"}"#
                .utf8
        )
        .write(to: URL(filePath: questions))
        let run = try sweep("--data", questions, "--visual-tokens", "2", "--scorer", "vqa")
        try #require(run.ending == .status(0), "\(run.stderr)")
        let page = try file("report.html")
        #expect(!page.contains("<script") && page.contains("&lt;script&gt;") && page.contains("a &amp; b"))
        #expect(try file("sweep.csv").contains("\"score_a,b\""))
    }

    @Test("without answers only cost is measured, and that is said")
    func costOnly() throws {
        try FileManager.default.copyItem(atPath: Pictures.png, toPath: directory.appending(path: "a.png").path)
        let questions = directory.appending(path: "q.jsonl").path
        try Data(#"{"image": "a.png", "question": "what?"}"#.utf8).write(to: URL(filePath: questions))
        let run = try sweep("--data", questions, "--visual-tokens", "2,8")
        #expect(run.ending == .status(0) && run.stderr.contains("only cost") && run.stdout.contains("cost only"))
        #expect(try file("report.html").contains("cost only"))
        let eval = try vlm("eval", "--model", TinyModel.path, "--data", questions, "--out", out + "/e.jsonl")
        expectRefusal(eval, 1, "no answers")
    }

    @Test("eval writes a line for each question, and the score that follows from them")
    func eval() throws {
        let out = directory.appending(path: "answers.jsonl").path
        let run = try vlm(
            "eval", "--model", TinyModel.path, "--data", "scenes", "--limit", "7", "--visual-tokens", "4", "--out", out,
            "--max-tokens", "4", "--json")
        try #require(run.ending == .status(0), "\(run.stderr)")
        let lines = try String(contentsOfFile: out, encoding: .utf8).split(separator: "\n")
        let objects = try lines.map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        #expect(objects.count == 7 && objects[0]["question_id"] as? String == "0-0")
        #expect(objects.allSatisfy { $0["visual_tokens"] as? Int == 4 && $0["answer"] is String })
        let json = try #require(try JSONSerialization.jsonObject(with: run.output) as? [String: Any])
        let row = try #require(((json["models"] as? [[String: Any]])?[0]["rows"] as? [[String: Any]])?[0])
        let score = (row["score"] as? [String: Any])?["score"] as? Double
        #expect(score == objects.reduce(0) { $0 + ($1["score"] as? Double ?? 9) } / 7)
        #expect(!FileManager.default.fileExists(atPath: out + ".partial"))
    }

    private static let script = "/usr/bin/script"

    @Test(
        "on a terminal progress is a bar in one line that fits, without colours",
        .enabled(if: FileManager.default.isExecutableFile(atPath: script), "script(1) is not installed"))
    func progressBar() throws {
        let command =
            try "stty cols 44; '\(BuiltCommand("vlm").path)' eval --model '\(TinyModel.path)' --data scenes --limit 30 "
            + "--visual-tokens 2 --max-tokens 2 --out '\(directory.appending(path: "a.jsonl").path)'"
        let run = try BuiltCommand(path: Self.script).run(["-qec", command, "/dev/null"])
        try #require(run.ending == .status(0), "\(run.stdout)")
        let lines = run.stdout.split(whereSeparator: \.isNewline).flatMap { $0.split(separator: "\r") }
            .filter { $0.contains("pictures, ") && $0.hasPrefix("[") }
            .map { $0.replacingOccurrences(of: "\u{1B}[K", with: "") }
        #expect(lines.last?.hasPrefix("[###########] 5 of 5") == true, "\(run.stdout)")
        #expect(lines.allSatisfy { $0.count < 44 })
        #expect(!run.stdout.contains(#/\x1B\[[0-9;]*m/#))
    }

    private static let mistakes: [([String], Int32, String)] = [
        (["--data", "scenes", "--visual-tokens", "1,x"], 2, "\"x\""),
        (["--data", "scenes", "--visual-tokens", "3,3"], 2, "twice"),
        (["--data", "scenes", "--visual-tokens", "65"], 2, "1...64"),
        (["--data", "scenes", "--visual-tokens", "0"], 2, "1...64"),
        (["--data", "scenes", "--limit", "0"], 2, "--limit"),
        (["--data", "scenes", "--timed=-1"], 2, "--timed"), (["--data", "scenes", "--source", "x"], 2, "--source"),
        (["--data", "easy-vqa"], 2, "fetch-easy-vqa"), (["--data", "/nowhere.jsonl"], 1, "/nowhere.jsonl"),
        (["--data", "/nowhere.jsonl", "--split", "test"], 2, "--split"), ([], 2, "--data"),
        (["--data", "scenes", "--scorer", "best"], 2, "best"),
        (["--data", "scenes", "--scorer", "yes-no"], 1, "yes and no"),
        (["--data", "scenes", "--model", "/nowhere"], 1, "/nowhere"),
    ]

    @Test("what cannot be meant is refused before anything is asked", arguments: mistakes)
    func refusals(arguments: [String], status: Int32, word: String) throws {
        expectRefusal(
            try BuiltCommand("vlm").run(["sweep", "--model", TinyModel.path, "--out", out] + arguments), status, word)
        #expect(!FileManager.default.fileExists(atPath: out + "/answers.jsonl"))
    }

    @Test("a place that cannot be written to is refused before the model is loaded")
    func unwritable() throws {
        let file = directory.appending(path: "file")
        try Data().write(to: file)
        let run = try vlm("sweep", "--model", "/nowhere", "--data", "scenes", "--out", file.path)
        expectRefusal(run, 1, file.path)
        #expect(!run.stderr.contains("nowhere"))
        let projector = try TinyModel.copyWithProjector().path
        expectRefusal(
            try sweep("--data", "scenes", "--visual-tokens", "4", models: [projector]), 2, "query transformer")
    }
}
