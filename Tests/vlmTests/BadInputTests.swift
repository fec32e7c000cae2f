import Bytes
import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@Suite struct BadInputTests {
    // MARK: The machine

    @Test("VLM_ISA takes other kernels, and a set the processor has not is refused")
    func kernels() throws {
        let command = try BuiltCommand("vlm")
        let demo = Fixtures.directory.appending(path: "demo-model").path
        for set in KernelSet.available {
            let bench = ["bench", "decoder", "--model", demo, "--prompt-tokens", "4", "--decode-tokens", "1"]
            let run = try command.run(bench, environment: ["VLM_ISA": set.name])
            #expect(run.ending == .status(0) && run.stdout.contains(#""kernels":"\#(set.name)""#), "\(run.stderr)")
        }
        let refused = try command.run(["inspect", demo], environment: ["VLM_ISA": "avx1024"])
        expectRefusal(refused, 2, "VLM_ISA=avx1024", "portable")
    }

    // MARK: Images

    @Test("an image that ends early is called incomplete, with its name", arguments: [Pictures.png, Pictures.jpeg])
    func truncatedImage(path: String) throws {
        let bytes = try Data(contentsOf: URL(filePath: path))
        let file = try Fixtures.temporaryDirectory().appending(path: "cut.bin")
        try bytes.prefix(bytes.count / 2).write(to: file)
        expectRefusal(try ask("--image", file.path, "what?"), 1, file.path, "incomplete", "\(bytes.count / 2)")
        let piped = try ask("--image", "-", "what?", input: bytes.prefix(bytes.count / 2))
        expectRefusal(piped, 1, "standard input", "incomplete")
    }

    @Test("a PNG header of 60000 x 60000 pixels is refused by its size alone")
    func hugeImage() throws {
        let file = try Fixtures.temporaryDirectory().appending(path: "huge.png")
        try Pictures.pngHeader(width: 60_000, height: 60_000).write(to: file)
        let run = try ask("--image", file.path, "what?")
        expectRefusal(run, 1, file.path, "60000 x 60000", "178956970")
        // The header itself is sound: a size within the limits, whose pixels 8 bytes can hold, gets further.
        try Pictures.pngHeader(width: 24, height: 24).write(to: file)
        expectRefusal(try ask("--image", file.path, "what?"), 1, file.path, "damaged PNG")
    }

    @Test("what is no picture is called by its name, with what to do")
    func otherFormats() throws {
        let directory = try Fixtures.temporaryDirectory()
        let formats: [(String, Data, String)] = [
            ("page.png", Data("<!DOCTYPE html><html></html>".utf8), "web page"),
            ("a.jpg", Data("RIFF0000WEBPVP8 ".utf8), "WebP"),
            ("pointer.png", Data("version https://git-lfs.github.com/spec/v1\n".utf8), "git lfs pull"),
            ("empty.png", Data(), "empty"), ("text.txt", Data("hello".utf8), "unknown format"),
        ]
        for (name, bytes, word) in formats {
            let file = directory.appending(path: name)
            try bytes.write(to: file)
            expectRefusal(try ask("--image", file.path, "what?"), 1, file.path, word)
        }
    }

    @Test("a path that cannot be read is named with the reason")
    func unreadablePaths() throws {
        let directory = try Fixtures.temporaryDirectory()
        expectRefusal(try ask("--image", "/nowhere/a.png", "what?"), 1, "/nowhere/a.png", "No such file")
        expectRefusal(try ask("--image", directory.path, "what?"), 1, directory.path, "not a regular file")
        expectRefusal(try ask("--image", "/dev/zero", "what?"), 1, "/dev/zero", "not a regular file")
        let pipe = directory.appending(path: "pipe.png").path
        try #require(mkfifo(pipe, 0o600) == 0)
        expectRefusal(try ask("--image", pipe, "what?"), 1, pipe, "not a regular file")
        expectRefusal(try ask("what?", model: "/nowhere"), 1, "/nowhere", "no such file")
        expectRefusal(try ask("what?", model: directory.path), 1, directory.path, "no weights", "model.safetensors")
        expectRefusal(
            try ask("--vision-tower", "/nowhere", "--image", Pictures.png, "what?"), 1, "/nowhere", "cannot read")
        expectRefusal(
            try ask("--vision-tower", directory.path, "--image", Pictures.png, "what?"), 1, directory.path,
            "config.json")
        expectRefusal(try ask("--adapter", "/nowhere/a.bin", "what?"), 1, "/nowhere/a.bin")
    }

    @Test("an image file longer than any picture is refused before it is read")
    func sparseFile() throws {
        let file = try Fixtures.temporaryDirectory().appending(path: "sparse.png")
        try Pictures.pngHeader(width: 10, height: 10).write(to: file)
        try #require(truncate(file.path, 100_000_000_000) == 0)
        expectRefusal(try ask("--image", file.path, "what?"), 1, file.path, "bytes")
    }

    // MARK: Checkpoints

    @Test("a missing shard is named together with the index that lists it")
    func missingShard() throws {
        let stage = try GoldenStage("llava")
        let index = try #require(stage.manifest["files"]?.object?.keys.first { $0.hasSuffix(".index.json") })
        let source = URL(filePath: stage.path(index)).deletingLastPathComponent()
        let model = try Fixtures.temporaryDirectory().appending(path: "m")
        try FileManager.default.copyItem(at: source, to: model)
        let shards = try FileManager.default.contentsOfDirectory(atPath: model.path).filter {
            $0.hasSuffix(".safetensors")
        }
        let missing = try #require(shards.max())
        try FileManager.default.removeItem(at: model.appending(path: missing))
        let run = try vlm("trace", "--model", model.path, "--ids", "1", "--out", model.path + "/t.safetensors")
        expectRefusal(run, 1, "index.json", missing, "fetch")
    }

    @Test("a tensor of another shape is named with both shapes, and all such tensors at once")
    func wrongShape() throws {
        let model = try TinyModel.copy { tensors in
            tensors["model.layers.3.self_attn.k_proj.weight"] = .random([32, 63], seed: 1)
            tensors["model.norm.weight"] = nil
            tensors["model.embed_tokens.weight"] = tensors["model.embed_tokens.weight"]
        }
        let run = try ask("what?", model: model.path)
        expectRefusal(
            run, 1, model.path, "model.layers.3.self_attn.k_proj.weight", "[32, 63]", "[32, 64]", "model.norm.weight",
            "missing", "vlm inspect")
    }

    @Test("weights cut short or flipped in the header are refused")
    func damagedWeights() throws {
        let model = try TinyModel.copy()
        let file = model.appending(path: "model.safetensors")
        let bytes = try Data(contentsOf: file)
        try bytes.prefix(bytes.count - 1000).write(to: file)
        expectRefusal(try ask("what?", model: model.path), 1, file.path, "damaged")
        var flipped = bytes
        flipped[7] ^= 0x40
        try flipped.write(to: file)
        expectRefusal(try ask("what?", model: model.path), 1, file.path, "header")
    }

    @Test("a pickle that calls os.system is refused by name and not run")
    func maliciousPickle() throws {
        let model = try TinyModel.copy()
        try FileManager.default.removeItem(at: model.appending(path: "model.safetensors"))
        let trap = model.appending(path: "was-run").path
        for (module, function) in [("posix", "system"), ("os", "system"), ("builtins", "exec")] {
            // PROTO 2, GLOBAL, MARK, STRING, TUPLE, REDUCE, STOP
            let pickle = Data([0x80, 2]) + Data("c\(module)\n\(function)\n(S'touch \(trap)'\ntR.".utf8)
            var archive = StoredZip()
            archive.add("archive/data.pkl", pickle)
            archive.add("archive/version", Data("3\n".utf8))
            try archive.data.write(to: model.appending(path: "pytorch_model.bin"))
            let run = try ask("what?", model: model.path)
            expectRefusal(run, 1, "pytorch_model.bin", "\(module).\(function)", "not run")
            #expect(!FileManager.default.fileExists(atPath: trap))
        }
    }

    @Test("a damaged config.json is named with the line or the key")
    func damagedConfiguration() throws {
        let model = try TinyModel.copy()
        let file = model.appending(path: "config.json")
        let text = try String(contentsOf: file, encoding: .utf8)
        try Data(text.replacingOccurrences(of: "\"vocab_size\": 512,", with: "\"vocab_size\": 512").utf8).write(
            to: file)
        expectRefusal(try ask("what?", model: model.path), 1, file.path, "line 9")
        let cases: [([String: Any?], String, String)] = [
            (["hidden_size": "wide"], "hidden_size", "Int"), (["vocab_size": nil], "vocab_size", "missing"),
            (["hidden_act": "relu"], "hidden_act", "silu"), (["num_attention_heads": 7], "num_attention_heads", "7"),
            (["rope_theta": 0], "rope_theta", "0"), (["num_hidden_layers": 1_000_000], "num_hidden_layers", "1024"),
            (["mm_vision_select_layer": 9], "mm_vision_select_layer", "-4...3"),
            (["mod_weight_norm": "gauss"], "mod_weight_norm", "tanh"),
            (["image_aspect_ratio": "stretch"], "image_aspect_ratio", "pad"),
            (["num_visual_tokens": 99], "num_visual_tokens", "1...64"),
            (["query_abstractor_num_heads": 5], "query_abstractor_num_heads", "divisor of 64"),
        ]
        for (keys, key, word) in cases {
            let model = try TinyModel.copy(changing: keys)
            expectRefusal(try ask("what?", model: model.path), 1, key, word)
        }
    }

    @Test("a damaged configuration of the vision tower is refused with the key")
    func damagedTower() throws {
        let cases: [([String: Any?], String, String)] = [
            (["num_hidden_layers": 1_048_576], "num_hidden_layers", "1...1024"),
            (["image_size": 65_536], "image_size", "16384"), (["patch_size": 0], "patch_size", "0"),
            (["num_channels": 4], "num_channels", "3"), (["layer_norm_eps": -1], "layer_norm_eps", "-1"),
            (["image_size": 104], "96 x 96", "104 x 104"), (["patch_size": 9], "patch_embedding", "[64, 3, 9, 9]"),
        ]
        for (keys, key, word) in cases {
            let model = try TinyModel.copy(changing: keys, in: "vision_tower/config.json")
            expectRefusal(try ask("--image", Pictures.png, "what?", model: model.path), 1, key, word)
        }
    }

    @Test("a checkpoint without its vision tower says how to give it")
    func missingTower() throws {
        let model = try TinyModel.copy { $0 = $0.filter { !$0.key.contains("vision_tower") } }
        expectRefusal(try ask("what?", model: model.path), 1, "tiny-clip", "--vision-tower")
    }

    @Test("a missing or damaged tokenizer is named")
    func tokenizer() throws {
        let model = try TinyModel.copy()
        let file = model.appending(path: "tokenizer.model")
        let bytes = try Data(contentsOf: file)
        try bytes.prefix(bytes.count / 2).write(to: file)
        expectRefusal(try ask("what?", model: model.path), 1, file.path)
        try FileManager.default.removeItem(at: file)
        expectRefusal(try ask("what?", model: model.path), 1, model.path, "tokenizer.model")
        let small = try TinyModel.copy { tensors in
            tensors["model.embed_tokens.weight"] = .random([300, 64], seed: 1)
            tensors["lm_head.weight"] = .random([300, 64], seed: 2)
        }
        try TinyModel.change(["vocab_size": 300], in: small.appending(path: "config.json"))
        expectRefusal(try ask("what?", model: small.path), 1, small.path, "512", "300")
    }

    // MARK: Questions and budgets

    @Test("a question without words is refused", arguments: ["", "  ", "<image>"])
    func emptyPrompt(question: String) throws {
        expectRefusal(try ask(question), 2, "empty")
        let run = try vlm("trace", "--model", TinyModel.path, "--prompt", " ", "--out", "/tmp/never.safetensors")
        expectRefusal(run, 2, "empty")
    }

    @Test("a budget outside 1...M is refused with the range", arguments: ["0", "65", "-1", "9223372036854775807"])
    func budgetOutOfRange(m: String) throws {
        expectRefusal(try ask("--image", Pictures.png, "--visual-tokens=\(m)", "what?"), 2, m, "1...64")
        expectRefusal(try ask("--image", Pictures.png + "@\(m)", "what?"), 2, m, "1...64")
        let chat = try vlm("chat", "--model", TinyModel.path, "--visual-tokens=\(m)")
        expectRefusal(chat, 2, m, "1...64")
        let traced = try vlm(
            "trace", "--model", TinyModel.path, "--image", Pictures.png, "--visual-tokens=\(m)", "--ids", "1,-200",
            "--out", "/tmp/never.safetensors")
        expectRefusal(traced, 2, m, "1...64")
    }

    @Test("a budget for a model without a query transformer is refused, and without one the model answers")
    func budgetWithoutMQT() throws {
        let model = try TinyModel.copyWithProjector()
        for m in ["1", "16", "144"] {
            let run = try ask("--image", Pictures.png, "-m", m, "what?", model: model.path)
            expectRefusal(run, 2, model.path, "no query transformer", "--visual-tokens")
        }
        expectRefusal(try ask("--image", Pictures.png + "@4", "what?", model: model.path), 2, "no query transformer")
        let report = try answer("--image", Pictures.png, "--max-tokens", "2", "what?", model: model.path)
        #expect(report["images"]?[0]?["visual_tokens"]?.int == 144)
    }

    @Test("images for a model that cannot see are refused")
    func textOnly() throws {
        let model = try TinyModel.copy(changing: ["mm_vision_tower": nil])
        expectRefusal(try ask("--image", Pictures.png, "what?", model: model.path), 2, model.path, "no vision tower")
        #expect(try ask("--max-tokens", "2", "what?", model: model.path).ending == .status(0))
    }

    @Test("as many image marks as images, or none at all")
    func imageMarks() throws {
        expectRefusal(try ask("--image", Pictures.png, "<image> or <image>?"), 2, "2 places", "1 was given")
        #expect(try ask("--image", Pictures.png, "--max-tokens", "1", "here <image> what?").ending == .status(0))
        let run = try vlm("trace", "--model", TinyModel.path, "--ids", "1,-200", "--out", "/tmp/never.safetensors")
        expectRefusal(run, 2, "1 place", "0 were given")
    }

    @Test("a prompt longer than the model's positions is refused with both numbers")
    func tooLong() throws {
        let run = try ask("--max-tokens", "1", String(repeating: "xyz ", count: 3000))
        expectRefusal(run, 1, "2048", "max_position_embeddings")
    }

    @Test("token ids that are none, or outside the vocabulary, are refused")
    func ids() throws {
        func refused(_ ids: String, _ words: String) throws {
            let run = try vlm("trace", "--model", TinyModel.path, "--ids", ids, "--out", "/tmp/never.safetensors")
            expectRefusal(run, 2, words)
        }
        try refused("1,512", "512")
        try refused("1,-5", "-5")
        try refused("1,,2", "--ids")
        try refused("", "--ids")
        try refused("1,2.5", "2.5")
    }

    @Test("pixel values that the tower does not take are refused")
    func pixelValues() throws {
        let file = try Fixtures.temporaryDirectory().appending(path: "p.safetensors").path
        func refused(_ tensors: [String: Tensor], _ words: String..., model: String = TinyModel.path) throws {
            try SafetensorsWriter.write(tensors, to: file)
            let run = try vlm(
                "trace", "--model", model, "--pixel-values", file, "--ids", "1,-200", "--out", file + ".out")
            #expect(run.ending == .status(1), "\(run.stderr)")
            for word in words { #expect(run.stderr.contains(word), "\(word) is not in \(run.stderr)") }
            #expect(!FileManager.default.fileExists(atPath: file + ".out"))
        }
        try refused([:], "pixel_values", file)
        try refused(["pixel_values": .random([1, 3, 95, 95], seed: 1)], "[1, 3, 95, 95]", "96")
        try refused(["pixel_values": .random([1, 1, 96, 96], seed: 1)], "pixel_values")
        try refused(["pixel_values": .random([3, 96, 96], seed: 1)], "pixel_values")
        try refused(
            ["pixel_values": Tensor(integers: Array(repeating: 1, count: 3 * 96 * 96), shape: [1, 3, 96, 96])],
            "float32")
        let tiled = try TinyModel.copyWithProjector()
        var weights = try SafetensorsFile(path: tiled.path + "/model.safetensors").tensors
        weights["model.image_newline"] = .random([64], seed: 3)
        try SafetensorsWriter.write(weights, to: tiled.path + "/model.safetensors")
        try TinyModel.change(
            [
                "mm_patch_merge_type": "spatial_unpad", "image_aspect_ratio": "anyres",
                "image_grid_pinpoints": [[192, 96]],
            ],
            in: tiled.appending(path: "config.json"))
        let views = Tensor.random([3, 3, 96, 96], seed: 1)
        let size = Tensor(integers: [200, 100], shape: [2])
        for grid in [[1000, 1000], [3, 1], [-2, -1], [0, 0], [2]] {
            try refused(
                ["pixel_values": views, "image_size": size, "grid": Tensor(integers: grid, shape: [grid.count])],
                "grid",
                model: tiled.path)
        }
        try SafetensorsWriter.write(
            ["pixel_values": views, "image_size": size, "grid": Tensor(integers: [2, 1], shape: [2])], to: file)
        #expect(try trace(["--pixel-values", file, "--ids", "1,-200"], model: tiled.path)["logits"] != nil)
    }

    @Test("a file that cannot be written is named, and nothing is left behind")
    func unwritable() throws {
        let run = try vlm("trace", "--model", TinyModel.path, "--ids", "1", "--out", "/nowhere/t.safetensors")
        expectRefusal(run, 1, "/nowhere/t.safetensors", "cannot write")
    }
}
