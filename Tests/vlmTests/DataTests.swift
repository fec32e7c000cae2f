import Foundation
import TestSupport
import Testing

@Suite struct DataTests {
    @Test(
        "scenes that were written make a tokenizer, with which a check finds them sound; the same seed gives the same bytes"
    )
    func scenes() throws {
        let directory = try Fixtures.temporaryDirectory()
        func scenes(_ name: String, seed: String) throws -> String {
            let run = try vlm(
                "data", "scenes", "--out", directory.appending(path: name).path, "--split", "test", "--count", "12",
                "--size", "64", "--seed", seed)
            #expect(run.ending == .status(0), "\(run.stderr)")
            return run.stdout
        }
        let first = try scenes("a", seed: "1")
        #expect(try scenes("b", seed: "1") == first)
        #expect(try scenes("c", seed: "2") != first)
        let questions = directory.appending(path: "a/questions.jsonl").path
        let tokenizer = directory.appending(path: "tokenizer").path
        #expect(try vlm("data", "tokenizer", questions, "--out", tokenizer).ending == .status(0))
        let check = try vlm("data", "check", questions, "--tokenizer", tokenizer, "--samples", "1")
        #expect(check.ending == .status(0) && check.stdout.contains("sound") && check.stdout.contains("⟦"))

        try Data(#"{"image": "../b/images/0.png", "question": "what?", "answer": "this"}"#.utf8)
            .write(to: directory.appending(path: "a/outside.jsonl"))
        let outside = directory.appending(path: "a/outside.jsonl").path
        let refused = try vlm("data", "check", outside, "--tokenizer", tokenizer)
        expectRefusal(refused, 1, "outside")
        #expect(try vlm("data", "check", outside, "--tokenizer", tokenizer, "--allow-outside").ending == .status(0))
    }

    @Test(
        "options that no data set can have are refused",
        arguments: [
            (["scenes", "--out", "x", "--split", "all"], 2, "held-out"),
            (["scenes", "--out", "x", "--split", "test", "--count", "0"], 2, "--count"),
            (["scenes", "--out", "x", "--split", "test", "--size", "8"], 2, "--size"),
            (["scenes", "--split", "test"], 2, "--out"),
            (["fashion", "--out", "x", "--split", "held-out", "--photos", "x"], 1, "held-out"),
            (["easy-vqa", "--out", "x", "--split", "test", "--source", "/nowhere"], 1, "/nowhere"),
            (["tokenizer", "x", "--out", "y", "--size", "100"], 2, "--size"),
            (["check", "/nowhere.jsonl", "--tokenizer", "x"], 1, "/nowhere.jsonl"),
        ])
    func refusals(arguments: [String], status: Int32, word: String) throws {
        expectRefusal(try BuiltCommand("vlm").run(["data"] + arguments), status, word)
    }
}
