import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import PMoD
import Tensors
import TestSupport
import Testing
import VisionEncoder

@Suite struct TraceTests {
    private let question = ["--prompt", "USER: <image>\nwhat? ASSISTANT:"]

    @Test("a trace holds the tensors of the design, with their shapes")
    func names() throws {
        let model = try LLaVAModel.load(from: TinyModel.path)
        let traced = try trace(question + ["--image", Pictures.png, "-m", "10", "--max-tokens", "5"])
        let tower = try #require(model.vision).tower.config
        let decoder = model.config.llama
        let length = try #require(traced["inputs_embeds"]?.shape[1])
        var shapes = [
            "pixel_values": [1, 3, 96, 96], "vision.features": [1, tower.patchCount, tower.hiddenSize],
            "visual_tokens": [1, 10, decoder.hiddenSize], "inputs_embeds": [1, length, decoder.hiddenSize],
            "logits": [1, length, decoder.vocabSize], "decode.logits": [5, decoder.vocabSize], "generated_ids": [5],
        ]
        for layer in 0...tower.numHiddenLayers {
            shapes["vision.hidden.\(layer)"] = [1, tower.patchCount + 1, tower.hiddenSize]
        }
        for layer in 0...decoder.numHiddenLayers {
            shapes["decoder.hidden.\(layer)"] = [1, length, decoder.hiddenSize]
        }
        let ratios = try #require(model.config.pmod).retentionRatios(layerCount: decoder.numHiddenLayers)
        for (layer, ratio) in ratios.enumerated() {
            guard let ratio else { continue }
            shapes["pmod.kept.\(layer)"] = [length - 10 + Int((Float(10) * Float(ratio)).rounded(.towardZero))]
            shapes["pmod.weight.\(layer)"] = [1, length]
        }
        for (name, shape) in shapes { #expect(traced[name]?.shape == shape, "\(name)") }
        #expect(traced["generated_ids"]?.elementType == .int32 && traced["pmod.kept.8"]?.elementType == .int32)
        for (name, tensor) in traced where name.hasPrefix("pmod.kept.") {
            #expect(tensor.integers == tensor.integers.sorted(), "\(name) ascends")
        }
        #expect(traced["decoder.hidden.0"]?.bytes == traced["inputs_embeds"]?.bytes)
    }

    @Test("each row of decode.logits drew its token, and its first row is the last of the prompt's")
    func greedy() throws {
        let traced = try trace(question + ["--image", Pictures.png, "--max-tokens", "6"])
        let logits = try #require(traced["decode.logits"])
        let ids = try #require(traced["generated_ids"]?.integers)
        for (row, id) in ids.enumerated() {
            let values = logits[row].floats
            #expect(values.firstIndex(of: values.max() ?? 0) == id)
        }
        let prompt = try #require(traced["logits"])[0]
        #expect(prompt[prompt.rows - 1].distance(to: logits[0]) < 1e-4)
    }

    @Test("decoding with the cache gives the logits of the whole sequence fed at once")
    func cachedEqualsUncached() throws {
        // Text alone: with an image, a mixture of depths sees the same visual tokens either way, which is tested below.
        for image in [[], ["--image", Pictures.png, "-m", "30"]] {
            let prompt = image.isEmpty ? [1, 40, 50, 60, 70] : [1, 40, -200, 50, 60, 70]
            func ids(_ ids: [Int]) -> String { ids.map(String.init).joined(separator: ",") }
            let cached = try trace(image + ["--ids", ids(prompt), "--max-tokens", "25"])
            let tokens = try #require(cached["generated_ids"]?.integers)
            #expect(tokens.count == 25)
            let whole = try trace(image + ["--ids", ids(prompt + tokens)])
            let all = try #require(whole["logits"])[0]
            let steps = try #require(cached["decode.logits"])
            let first = all.rows - tokens.count - 1
            #expect(all[first..<first + tokens.count].distance(to: steps) < 1e-3)
        }
    }

    @Test("the visual tokens of budget m are the first m of the largest budget")
    func elasticity() throws {
        let all = try #require(try trace(question + ["--image", Pictures.jpeg])["visual_tokens"])[0]
        for m in [1, 7, 63] {
            let some = try #require(try trace(question + ["--image", Pictures.jpeg, "-m", "\(m)"])["visual_tokens"])[0]
            #expect(some.bytes == all[0..<m].bytes)
        }
    }

    @Test("the file has the same bytes on 1, 2 and 5 threads")
    func threads() throws {
        let directory = try Fixtures.temporaryDirectory()
        let files = try ["1", "2", "5"].map { threads in
            let out = directory.appending(path: threads)
            let run = try BuiltCommand("vlm").run(
                ["trace", "--model", TinyModel.path, "--threads", threads, "--image", Pictures.png, "--out", out.path]
                    + question + ["--max-tokens", "20"])
            #expect(run.ending == .status(0))
            return try Data(contentsOf: out)
        }
        #expect(files[0].count > 100_000 && files.allSatisfy { $0 == files[0] })
    }

    @Test("several images keep their tensors apart")
    func images() throws {
        let traced = try trace([
            "--image", Pictures.png + "@3", "--image", Pictures.jpeg + "@5", "--ids", "1,-200,7,-200,9",
        ])
        #expect(traced["visual_tokens"]?.shape[1] == 3 && traced["image.1.visual_tokens"]?.shape[1] == 5)
        #expect(traced["inputs_embeds"]?.shape[1] == 11)
    }

    @Test("--compare says what differs and ends with 1, or with 0 when nothing does")
    func comparison() throws {
        let directory = try Fixtures.temporaryDirectory()
        func write(_ name: String, _ tensors: [String: Tensor]) throws -> String {
            let path = directory.appending(path: name).path
            try SafetensorsWriter.write(tensors, to: path)
            return path
        }
        let a = try write("a", ["x": Tensor([1, 2], shape: [2]), "n": Tensor([.nan], shape: [1])])
        let b = try write("b", ["x": Tensor([1, 2.01], shape: [2]), "n": Tensor([.nan], shape: [1])])
        let c = try write("c", ["x": Tensor([1], shape: [1]), "y": Tensor([1], shape: [1])])
        let d = try write("d", ["x": Tensor([1, .nan], shape: [2]), "n": Tensor([.nan], shape: [1])])
        #expect(try vlm("trace", "--compare", a, a).ending == .status(0))
        let near = try vlm("trace", "--compare", a, b)
        #expect(near.ending == .status(1) && near.stdout.contains("x [2]") && near.stdout.contains("> 0.0001"))
        #expect(try vlm("trace", "--compare", a, b, "--tolerance", "0.02").ending == .status(0))
        let other = try vlm("trace", "--compare", a, c)
        #expect(
            other.ending == .status(1) && other.stdout.contains("[2] and [1]") && other.stdout.contains("only in \(c)"))
        #expect(try vlm("trace", "--compare", a, d, "--tolerance", "100").ending == .status(1))
        expectRefusal(try vlm("trace", "--compare", a, "/nowhere"), 1, "/nowhere")
    }
}
