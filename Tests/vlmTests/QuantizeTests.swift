import Bytes
import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("vlm quantize")
struct QuantizeTests {
    private let root: URL

    init() throws { root = try Fixtures.temporaryDirectory() }

    private func path(_ name: String) -> String { root.appending(path: name).path }

    private let demo = Fixtures.directory.appending(path: "demo-model").path

    @Test("the demo model in 5 bits answers as it did", arguments: ["q4_1", "q8_0"])
    func answers(type: String) throws {
        let run = try vlm("quantize", demo, path("model"), "--type", type, "--encoder", "q8_0")
        try #require(run.ending == .status(0), "\(run.stderr)")
        #expect(run.stdout.contains("decoder.gguf: ") && run.stdout.contains(type.uppercased() + " (off by "))
        #expect(run.stderr.contains("wrote ") && run.stderr.contains("llama.cpp refuses"))
        let scene = Fixtures.directory.appending(path: "images/scene-1.png").path
        for m in ["4", "64"] {
            let question = "how many red circles are there?"
            let before = try answer("--image", scene, "-m", m, question, model: demo)
            let after = try answer("--image", scene, "-m", m, question, model: path("model"))
            #expect(after["answer"] == before["answer"] && after["prompt_tokens"] == before["prompt_tokens"])
        }
        let inspected = try vlm("inspect", path("model"))
        #expect(inspected.stdout.contains("mixture of depths") && inspected.stdout.contains("1...64 visual tokens"))
        #expect(try vlm("inspect", path("model/decoder.gguf")).stdout.contains("architecture pmod-llama"))
        // What was written can be measured like any model.
        let swept = try vlm(
            "sweep", "--model", path("model"), "--data", "scenes", "--limit", "3", "-m", "4", "--out", path("report"))
        #expect(swept.ending == .status(0), "\(swept.stderr)")
    }

    @Test("the report in JSON names files, types and errors")
    func json() throws {
        let run = try vlm("quantize", demo, path("a.gguf"), "--type", "int4", "--json", "--threads", "1")
        try #require(run.ending == .status(0), "\(run.stderr)")
        let report = try JSONValue(parsing: [UInt8](run.output), source: "stdout")
        let file = try #require(report["files"]?[0])
        #expect(file["name"]?.string == "a.gguf")
        let size = try FileManager.default.attributesOfItem(atPath: path("a.gguf"))[.size] as? Int
        #expect(file["bytes"]?.int == size)
        let share = try #require(file["shares"]?.array?.first { $0["type"]?.string == "Q4_0" })
        #expect(share["tensors"]?.int == 42)
        #expect((0.06..<0.12).contains(share["relative_error"]?.double ?? 0))
        #expect(report["notes"]?.array?.isEmpty == false)
    }

    @Test("types that do not exist, targets that do and options without effect are refused")
    func refusals() throws {
        expectRefusal(try vlm("quantize", demo, path("m"), "--type", "q3_k"), 2, "--type q3_k", "q4_k")
        expectRefusal(try vlm("quantize", demo, path("m"), "--type", "q8_0", "--encoder", "int2"), 2, "--encoder int2")
        expectRefusal(try vlm("quantize", demo, path("m")), 2, "--type")
        expectRefusal(try vlm("quantize", demo, demo, "--type", "q8_0"), 1, "exists already")
        expectRefusal(
            try vlm("quantize", demo, path("a.gguf"), "--type", "q8_0", "--encoder", "f16"), 2, "decoder alone")
        expectRefusal(try vlm("quantize", path("none"), path("m"), "--type", "q8_0"), 1, "no such file")
        #expect(try FileManager.default.contentsOfDirectory(atPath: root.path).isEmpty)
    }
}
