import Bytes
import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import Tensors
import TestSupport
import Testing
import Tokenization

@Suite struct AskTests {
    @Test("the answer alone goes to standard output; that the model is untrained is said on standard error")
    func streams() throws {
        let run = try ask("--image", Pictures.png, "--max-tokens", "12", "what is it?")
        #expect(run.ending == .status(0))
        #expect(run.stdout.hasSuffix("\n") && run.stdout.count > 1)
        #expect(run.stderr.contains("untrained") && run.stderr.contains(TinyModel.path))
        #expect(run.stderr.contains("--max-tokens 12"), "a cut answer is reported")
        #expect(!run.stdout.contains("note:"))
    }

    @Test("the streamed text is the answer of --json")
    func streamedText() throws {
        for extra in [[], ["--temperature", "1", "--seed", "4"]] {
            let arguments = ["ask", "--model", TinyModel.path, "--max-tokens", "60"] + extra + [Pictures.png, "what?"]
            let streamed = try BuiltCommand("vlm").run(arguments)
            let json = try BuiltCommand("vlm").run(arguments + ["--json"])
            let object = try #require(try JSONSerialization.jsonObject(with: json.output) as? [String: Any])
            #expect(streamed.stdout.dropLast() == (object["answer"] as? String)?[...])
            #expect(
                json.stdout.last == "\n" && json.stdout.dropLast().contains("\n") == false, "one object on one line")
        }
    }

    @Test("features of a picture are kept where --feature-cache says, and answers stay the same")
    func featureCache() throws {
        let directory = try Fixtures.temporaryDirectory().appending(path: "features").path
        let arguments = ["--image", Pictures.png, "--feature-cache", directory, "--max-tokens", "8", "what is it?"]
        let runs = try (0..<2).map { _ in
            try BuiltCommand("vlm").run(["ask", "--model", TinyModel.path] + arguments)
        }
        #expect(runs.allSatisfy { $0.ending == .status(0) } && runs[0].stdout == runs[1].stdout)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory).count == 1)
        expectRefusal(try ask("--feature-cache", directory, "hi"), 2, "--feature-cache")
    }

    @Test("what an answer depends on is drawn as a picture and as a page; other names are refused before any work")
    func explanations() throws {
        let directory = try Fixtures.temporaryDirectory()
        for name in ["why.png", "why.html"] {
            let file = directory.appending(path: name)
            let run = try ask("--image", Pictures.png, "--explain", file.path, "--max-tokens", "4", "what is it?")
            try #require(run.ending == .status(0), "\(run.stderr)")
            let head = try Data(contentsOf: file).prefix(15)
            #expect(
                head.starts(
                    with: name.hasSuffix("png") ? Data([0x89, 0x50, 0x4E, 0x47]) : Data("<!doctype html>".utf8)))
        }
        expectRefusal(try ask("--image", Pictures.png, "--explain", "why.txt", "what?"), 2, ".html")
        expectRefusal(try ask("--explain", "why.png", "what?"), 2, "one picture")
        expectRefusal(
            try ask("--image", Pictures.png, "--explain", "/proc/nowhere/why.png", "what?"), 1, "/proc/nowhere")
    }

    @Test("--json has every field, and the numbers agree with each other")
    func report() throws {
        let report = try answer(
            "--image", Pictures.png + "@8", "--image", Pictures.turnedJPEG, "--visual-tokens", "20", "--threads", "2",
            "--max-tokens", "9", "what changed?")
        #expect(report["model"]?.string == TinyModel.path)
        #expect(report["is_untrained"]?.bool == true)
        #expect(
            report["layout"]?.string?.contains("MQT") == true && report["layout"]?.string?.contains("p-MoD") == true)
        #expect(report["quantization"]?.string == "none")
        #expect(report["preprocessing"]?.string == "pad")
        #expect(report["template"]?.string == "vicuna_v1")
        #expect(report["question"]?.string == "what changed?")
        #expect(report["threads"]?.int == 2 && report["seed"]?.int == 0)
        #expect(["portable", "avx2", "avx512"].contains(report["kernels"]?.string))
        #expect(report["quantized_products"]?.string == "native")

        let images = try #require(report["images"]?.array)
        #expect(images.map { $0["source"]?.string } == [Pictures.png, Pictures.turnedJPEG])
        #expect(images.map { $0["format"]?.string } == ["PNG", "JPEG"])
        #expect(images.map { $0["visual_tokens"]?.int } == [8, 20])
        #expect(images.map { $0["views"]?.int } == [1, 1])
        #expect(images.map { $0["width"]?.int } == [91, 40] && images.map { $0["height"]?.int } == [37, 60])
        #expect(images.map { $0["exif_orientation"]?.int } == [nil, 6])
        #expect(images.map { $0["is_orientation_applied"]?.bool } == [false, true])

        let assistant = try Assistant(LLaVAModel.load(from: TinyModel.path))
        let ids = try assistant.ids(of: assistant.conversation(asking: "what changed?", images: 2))
        #expect(report["prompt_tokens"]?.int == ids.count - 2 + 28)
        #expect(report["answer_tokens"]?.int == 9 && report["stop_reason"]?.string == "length")

        let times = try #require(report["milliseconds"])
        let stages = try ["image_decode", "preprocess", "encode", "query_transformer", "prefill"].map {
            try #require(times[$0]?.double)
        }
        #expect(stages.allSatisfy { $0 > 0 })
        #expect(abs(stages.reduce(0, +) - (times["time_to_first_token"]?.double ?? 0)) < 0.01)
        #expect(try #require(times["load"]?.double) > 0 && #require(times["decode_per_token"]?.double) > 0)
        let rss = try #require(report["peak_rss_bytes"]?.int)
        #expect((5_000_000...200_000_000).contains(rss))
    }

    @Test("the bytes of keys and values that --json reports are those of the tokens each layer kept")
    func keyValueBytes() throws {
        let steps = 7
        let report = try answer("--image", Pictures.png, "-m", "40", "--max-tokens", "\(steps)", "what?")
        let assistant = try Assistant(LLaVAModel.load(from: TinyModel.path))
        let prompt = try assistant.conversation(asking: "what?", images: 1).prompt()
        let traced = try trace(["--image", Pictures.png, "-m", "40", "--prompt", prompt])
        let config = assistant.model.config.llama
        let rows = (0..<config.numHiddenLayers).map { layer in
            // The last token drawn has not been fed back.
            (traced["pmod.kept.\(layer)"]?.count ?? report["prompt_tokens"]?.int ?? 0) + steps - 1
        }
        let bytesPerRow = 2 * 4 * config.numKeyValueHeads * config.headSize
        #expect(report["kv_bytes_used"]?.int == rows.reduce(0, +) * bytesPerRow)
        #expect(Set(rows).count > 1, "mixture-of-depths layers keep fewer")
        let allocated = try #require(report["kv_bytes_allocated"]?.int)
        #expect(allocated >= rows.reduce(0, +) * bytesPerRow && allocated < 20_000_000)
    }

    @Test("the same seed gives the same answer and another seed another")
    func seeds() throws {
        func text(_ seed: String) throws -> String? {
            try answer("--temperature", "1", "--seed", seed, "--max-tokens", "40", "tell me")["answer"]?.string
        }
        let first = try text("3")
        #expect(try text("3") == first)
        #expect(try text("4") != first)
        #expect(try answer("--temperature", "1", "--seed", "3", "--max-tokens", "2", "tell me")["seed"]?.int == 3)
    }

    @Test("top-k 1 is the greedy answer, and top-p narrows the draws")
    func sampling() throws {
        func text(_ flags: String...) throws -> String? {
            let run = try BuiltCommand("vlm").run(
                ["ask", "--model", TinyModel.path, "--max-tokens", "30"] + flags + ["tell me"])
            return run.ending == .status(0) ? run.stdout : nil
        }
        let greedy = try #require(try text())
        #expect(try text("--temperature", "2", "--top-k", "1") == greedy)
        #expect(try text("--temperature", "2", "--top-p", "0.00001") == greedy)
        #expect(try text("--temperature", "2") != greedy)
    }

    @Test("a budget of its own for each image, and fewer tokens for the prompt")
    func budgets() throws {
        func tokens(_ flags: String...) throws -> (prompt: Int, images: [Int?]) {
            let run = try BuiltCommand("vlm").run(
                ["ask", "--model", TinyModel.path, "--json", "--max-tokens", "1"] + flags + ["which?"])
            let file = try Fixtures.temporaryDirectory().appending(path: "a.json")
            try run.output.write(to: file)
            let report = try JSONValue(contentsOf: file.path)
            return (
                try #require(report["prompt_tokens"]?.int),
                report["images"]?.array?.map { $0["visual_tokens"]?.int } ?? []
            )
        }
        let whole = try tokens("--image", Pictures.png)
        #expect(whole.images == [64])
        let small = try tokens("--image", Pictures.png, "-m", "1")
        #expect(small.images == [1] && small.prompt == whole.prompt - 63)
        let mixed = try tokens(Pictures.png + "@5", Pictures.jpeg + "@33", Pictures.png)
        #expect(mixed.images == [5, 33, 64])
    }

    @Test("an image from standard input answers as the file does")
    func standardInput() throws {
        let bytes = try Data(contentsOf: URL(filePath: Pictures.jpeg))
        let piped = try ask("--image", "-", "--max-tokens", "20", "what is this?", input: bytes)
        let named = try ask("--image", Pictures.jpeg, "--max-tokens", "20", "what is this?")
        #expect(piped.ending == .status(0) && piped.stdout == named.stdout)
        #expect(
            try answer("--image=-@3", "--max-tokens", "1", "what?", input: bytes)["images"]?[0]?["visual_tokens"]?.int
                == 3)
    }

    @Test("a photo is turned upright, which is said, unless --no-exif")
    func orientation() throws {
        let upright = try ask("--image", Pictures.turnedJPEG, "--max-tokens", "20", "what?")
        let stored = try ask("--image", Pictures.turnedJPEG, "--no-exif", "--max-tokens", "20", "what?")
        #expect(upright.stderr.contains("EXIF") && upright.stderr.contains(Pictures.turnedJPEG))
        #expect(upright.stderr.contains("--no-exif"))
        #expect(!stored.stderr.contains("EXIF"))
        #expect(upright.stdout != stored.stdout)
    }

    @Test("the answer is the same on 1, 2 and 5 threads")
    func threads() throws {
        let runs = try ["1", "2", "5"].map {
            try ask(
                "--image", Pictures.png, "--image", Pictures.jpeg, "--threads", $0, "--max-tokens", "100", "what is it?"
            )
        }
        #expect(runs[0].ending == .status(0))
        #expect(runs.allSatisfy { $0.output == runs[0].output })
    }

    @Test("the template is chosen, overridden and reported")
    func templates() throws {
        #expect(try answer("--template", "llava_v0", "--max-tokens", "1", "hi")["template"]?.string == "llava_v0")
        expectRefusal(try ask("--template", "nonesuch", "hi"), 1, "nonesuch", "vicuna_v1")
    }

    @Test("--set, --adapter and --vision-tower each change the model")
    func loading() throws {
        let plain = try ask("--image", Pictures.png, "--max-tokens", "30", "what?").stdout
        let square = try ask(
            "--image", Pictures.png, "--set", "image_aspect_ratio=square", "--max-tokens", "30", "what?")
        #expect(square.ending == .status(0) && square.stdout != plain)

        let adapter = try Fixtures.temporaryDirectory().appending(path: "query_abstractor.safetensors").path
        var tensors = try SafetensorsFile(path: TinyModel.path + "/model.safetensors").tensors
            .filter { $0.key.contains("query_abstractor") }
        tensors["model.query_abstractor.query"] = .random([64, 64], seed: 8)
        try SafetensorsWriter.write(tensors, to: adapter)
        let adapted = try ask("--image", Pictures.png, "--adapter", adapter, "--max-tokens", "30", "what?")
        #expect(adapted.ending == .status(0) && adapted.stdout != plain, "\(adapted.stderr)")

        let tower = try Fixtures.temporaryDirectory()
        let prefix = "model.vision_tower.vision_tower."
        let own = try SafetensorsFile(path: TinyModel.path + "/model.safetensors").tensors
            .filter { $0.key.hasPrefix(prefix) }
        var named = Dictionary(uniqueKeysWithValues: own.map { (String($0.key.dropFirst(prefix.count)), $0.value) })
        named["vision_model.embeddings.position_embedding.weight"] = .random([145, 64], seed: 9, amplitude: 4)
        try SafetensorsWriter.write(named, to: tower.appending(path: "model.safetensors").path)
        for file in ["config.json", "preprocessor_config.json"] {
            try FileManager.default.copyItem(
                at: TinyModel.directory.appending(path: "vision_tower/\(file)"), to: tower.appending(path: file))
        }
        let seen = try ask("--image", Pictures.png, "--vision-tower", tower.path, "--max-tokens", "30", "what?")
        #expect(seen.ending == .status(0) && seen.stdout != plain, "\(seen.stderr)")
    }

    @Test("the model may come from the environment")
    func environment() throws {
        let run = try vlm("ask", "--max-tokens", "1", "hi", environment: ["VLM_MODEL": TinyModel.path])
        #expect(run.ending == .status(0))
        #expect(run.stderr.contains("untrained") && !run.stderr.contains("demo model"))
    }

    @Test("rounded weights answer as stored ones do, and --json says what was rounded")
    func quantization() throws {
        let ask = [
            "ask", Fixtures.directory.appending(path: "images/scene-1.png").path, "what shape is the cyan object?",
        ]
        let command = try BuiltCommand("vlm")
        for (type, words) in [
            ("none", "none"), ("int8", "encoder I8, decoder Q8_0"), ("encoder=int8", "encoder I8, decoder as stored"),
            ("decoder=int4,encoder=none", "encoder as stored, decoder Q4_0"),
        ] {
            let run = try command.run(ask + ["--quantize", type, "--json"], environment: ["VLM_MODEL": nil])
            let report = try JSONValue(parsing: [UInt8](run.output), source: "--json")
            #expect(report["answer"]?.string == "cross" && report["quantization"]?.string == words)
            #expect(report["quantized_products"]?.string == "native")
        }
        for (type, word) in [
            ("int9", "int9"), ("", "nothing"), ("encoder=", "nothing"), ("tower=int8", "tower"),
            ("int8,decoder=int4", "twice"),
        ] {
            expectRefusal(try command.run(ask + ["--quantize", type]), 2, "--quantize", word)
        }
        expectRefusal(try command.run(ask + ["--quantize", "int8", "--exact"]), 2, "--exact", "--quantize")
    }

    @Test("bench encoder times forms of a tower in turns and compares what they see")
    func benchEncoder() throws {
        let tower = Fixtures.directory.appending(path: "demo-model/vision_tower").path
        let picture = Fixtures.directory.appending(path: "images/scene-1.png").path
        let run = try vlm(
            "bench", "encoder", "--vision-tower", tower, "--image", picture, "--forms", "stored,int8,q8_0", "--repeats",
            "2")
        let forms = try #require(JSONValue(parsing: [UInt8](run.output), source: "bench")["forms"]?.array)
        #expect(forms.map { $0["weights"]?.string } == ["stored", "int8", "q8_0"])
        let cosines = forms.map { $0["drift"]?["mean_cosine"]?.double }
        #expect(cosines[0] == nil && cosines[1] ?? 0 > 0.999 && cosines[2] ?? 0 > 0.9999)
        expectRefusal(try vlm("bench", "encoder", "--vision-tower", tower, "--forms", "int7"), 2, "int7")
    }

    @Test("bench kernels measures every shape on every route")
    func benchKernels() throws {
        let run = try vlm("bench", "kernels", "--seconds", "0.001", timeLimit: 120)
        let report = try JSONValue(parsing: [UInt8](run.output), source: "bench")
        #expect(report["products"]?.array?.count == 20 && report["attention"]?.array?.count == 6)
        let layers = try #require(report["convolutions"]?.array)
        #expect(layers.map { $0["layer"]?.string } == (1...12).map { "conv\($0)" })
        for layer in layers {
            for route in ["im2win", "row_run", "im2col"] {
                #expect(layer["routes"]?[route]?["gflops"]?.double ?? 0 > 0, "\(layer)")
            }
        }
        expectRefusal(try vlm("bench", "kernels", "--seconds", "0"), 2, "--seconds")
    }

    @Test("without a model the one that ships answers, and says so; where it is not, one is asked for")
    func demoModel() throws {
        let picture = Fixtures.directory.appending(path: "images/scene-1.png").path
        for (question, answer) in [
            ("how many red circles are there?", "2"), ("what shape is the cyan object?", "cross"),
            ("where is the small red object?", "bottom right"), ("is there a green square?", "no"),
            ("is the small red circle right of the large red circle?", "yes"),
        ] {
            let run = try vlm("ask", picture, question, environment: ["VLM_MODEL": nil])
            #expect(run.ending == .status(0) && run.stdout == answer + "\n", "\(question)")
            #expect(run.stderr.contains("demo model"))
        }
        let elsewhere = try Fixtures.temporaryDirectory().appending(path: "vlm").path
        try FileManager.default.copyItem(atPath: BuiltCommand("vlm").path, toPath: elsewhere)
        let alone = try BuiltCommand(path: elsewhere).run(["ask", "hi"], environment: ["VLM_MODEL": nil])
        expectRefusal(alone, 2, "--model", "VLM_MODEL")
    }
}
