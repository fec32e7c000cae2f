import Bytes
import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite struct TimeBudgetTests {
    /// Runs `vlm` with a cache directory of its own.
    private func vlm(_ arguments: [String], cache: URL) throws -> CommandRun {
        try BuiltCommand("vlm").run(arguments, environment: ["XDG_CACHE_HOME": cache.path])
    }

    @Test("--budget takes the most tokens that fit, says so, and measures a model once")
    func choice() throws {
        let cache = try Fixtures.temporaryDirectory()
        let words = ["ask", "--model", TinyModel.path, "--max-tokens", "1", "--image", Pictures.png]
        let first = try vlm(words + ["--budget", "60s", "--json", "what?"], cache: cache)
        try #require(first.ending == .status(0), "\(first.stderr)")
        #expect(first.stderr.contains("once"))
        let file = cache.appending(path: "answer.json")
        try first.output.write(to: file)
        let answer = try JSONValue(contentsOf: file.path)
        let budget = try #require(answer["budget"])
        // A minute is enough for all that there are.
        let inspected = try #require(answer["images"]?.array?.first?["visual_tokens"]?.int)
        #expect(budget["visual_tokens"]?.int == inspected)
        #expect(budget["requested_milliseconds"]?.double == 60_000)
        let predicted = try #require(budget["predicted_milliseconds"]?.double)
        let actual = try #require(budget["actual_milliseconds"]?.double)
        #expect(predicted > 0 && actual > 0)
        #expect(try #require(budget["error"]?.double) == (predicted - actual) / actual)

        let second = try vlm(words + ["--budget", "60s", "what?"], cache: cache)
        #expect(second.ending == .status(0) && !second.stderr.contains("once"))
        #expect(second.stderr.contains("\(inspected) visual tokens; first word after"))
        #expect(try second.stdout == vlm(words + ["what?"], cache: cache).stdout)

        // A list that is damaged is the same as none.
        try Data("{".utf8).write(to: cache.appending(path: "vlm/first-token-costs.json"))
        #expect(try vlm(words + ["--budget", "60s", "what?"], cache: cache).stderr.contains("once"))
    }

    @Test("times that nothing can keep, and budgets about nothing, are refused")
    func refusals() throws {
        let cache = try Fixtures.temporaryDirectory()
        let words = ["ask", "--model", TinyModel.path]
        let image = ["--image", Pictures.png]
        expectRefusal(
            try vlm(words + image + ["--budget", "0.001ms", "what?"], cache: cache), 2, "1 visual token", "allow more")
        expectRefusal(try vlm(words + ["--budget", "1s", "what?"], cache: cache), 2, "no", "image")
        expectRefusal(
            try vlm(words + image + ["--budget", "1s", "--visual-tokens", "2", "what?"], cache: cache), 2,
            "leave one out")
        expectRefusal(
            try vlm(words + ["--image", Pictures.png + "@2", "--budget", "1s", "what?"], cache: cache), 2, "PATH@m")
        for text in ["1", "s", "-1s", "1h", "1e3s", "0ms", "nan"] {
            expectRefusal(try vlm(words + image + ["--budget", text, "what?"], cache: cache), 2, "--budget")
        }
    }
}
