import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing
import Tokenization
import VisionEncoder

@Suite("Models written with rounded weights")
struct ModelQuantizationTests {
    private let root: URL

    init() throws { root = try Fixtures.temporaryDirectory() }

    private func path(_ name: String) -> String { root.appending(path: name).path }

    @discardableResult
    private func quantize(
        _ source: String, to name: String, _ type: ElementType, words: ElementType? = nil, encoder: ElementType? = nil,
        options: LoadOptions = LoadOptions(), template: String? = nil
    ) throws -> ModelQuantization {
        try ModelQuantization(
            source, to: path(name), as: .init(decoder: DecoderTypes(maps: type, words: words), encoder: encoder),
            options: options, template: template)
    }

    private func picture() throws -> RGBImage { try RGBImage.decode(contentsOf: Pictures.png).image }

    /// The decoder's tensors by the names of Hugging Face.
    private func decoder(_ name: String) throws -> [String: Tensor] {
        try GGUFCheckpoint(GGUFFile(path: path(name))).llama().tensors
    }

    @Test("a whole model becomes a directory that sees and speaks as before, with a rounded decoder")
    func wholeModel() throws {
        let written = try quantize(TinyModel.path, to: "model", .q4_1, words: .q8_0)
        let files = try FileManager.default.contentsOfDirectory(atPath: path("model")).sorted()
        #expect(files == ["connector.safetensors", "decoder.gguf", "model.json", "vision_tower"])
        #expect(
            written.files.map(\.name) == ["decoder.gguf", "vision_tower/model.safetensors", "connector.safetensors"])
        #expect(written.notes.contains { $0.contains("llama.cpp refuses") })

        let (source, model) = (try LLaVAModel.load(from: TinyModel.path), try LLaVAModel.load(from: path("model")))
        #expect(model.config == source.config)
        let features = try source.encode(source.process(picture()))
        #expect(try model.encode(model.process(picture())).tensor.bytes == features.tensor.bytes)
        for m in [1, 16, 64] {
            #expect(
                try model.visualTokens(from: features, budget: model.budget(m)).embeddings.bytes
                    == source.visualTokens(from: features, budget: source.budget(m)).embeddings.bytes)
        }
        let (asked, before) = (try Assistant(model), try Assistant(source))
        #expect(asked.template.template == before.template.template && asked.endTokens == before.endTokens)
        let ids = try before.ids(of: before.conversation(asking: "what is it?", images: 1))
        #expect(try asked.ids(of: asked.conversation(asking: "what is it?", images: 1)) == ids)

        // Every matrix is the source's in the type that it was asked for, routers and norms are the source's.
        let originals = try CheckpointDirectory(path: TinyModel.path).tensors
        let tensors = try decoder("model/decoder.gguf")
        #expect(
            tensors.keys.contains { $0.contains(".router.") } && tensors.keys.contains { $0.contains("decoder_layer.") }
        )
        for (name, tensor) in tensors {
            let original = try #require(originals[name])
            let isWord = name == "lm_head.weight" || name == "model.embed_tokens.weight"
            let type: ElementType =
                isWord ? .q8_0 : original.rank == 2 && !name.contains(".router.") ? .q4_1 : .float32
            #expect(tensor.elementType == type, "\(name)")
            #expect(try tensor.bytes == original.converted(to: type).bytes, "\(name)")
        }
        // The error that is reported is that of the decoder's maps.
        let share = try #require(written.files[0].shares.first { $0.type == "Q4_1" })
        #expect(share.tensors == 12 * 7 && (0.05..<0.11).contains(share.relativeError))
        #expect(written.files[1].shares.allSatisfy { $0.relativeError == 0 })
    }

    @Test("the decoder of a mixture of depths keeps its routers in GGUF, under a name that llama.cpp refuses")
    func mixtureOfDepths() throws {
        try quantize(TinyModel.path, to: "decoder.gguf", .q8_0)
        let file = try GGUFFile(path: path("decoder.gguf"))
        #expect(file.metadata["general.architecture"] == .string("pmod-llama"))
        let source = try LLaVAModel.load(from: TinyModel.path)
        let model = try LLaVAModel.load(from: path("decoder.gguf"))
        #expect(model.config.pmod == source.config.pmod && model.config.llama == source.config.llama)

        // And back: a directory with the same mixture.
        _ = try CheckpointConversion(path("decoder.gguf"), to: path("back"), as: nil)
        let back = try LLaVAModel.load(from: path("back"))
        #expect(back.config.pmod == source.config.pmod)
        let (one, other) = (
            try decoder("decoder.gguf"), try SafetensorsFile(path: path("back/model.safetensors")).tensors
        )
        #expect(one.mapValues(\.floats) == other.mapValues(\.floats))

        // Called a plain decoder it is refused, by us as by llama.cpp, for its routers have no place there.
        var metadata = file.metadata.filter { !$0.key.hasPrefix("pmod-llama.") }
        for (key, value) in file.metadata where key.hasPrefix("pmod-llama.") {
            metadata["llama." + key.dropFirst("pmod-llama.".count)] = value
        }
        metadata["general.architecture"] = .string("llama")
        try GGUFWriter.write(file.tensors, metadata: metadata, to: path("plain.gguf"))
        #expect(throws: CheckpointError.self) { try LLaVAModel.load(from: path("plain.gguf")) }
        // And one that lacks the keys of its mixture.
        try GGUFWriter.write(
            file.tensors, metadata: file.metadata.filter { !$0.key.contains(".mod_") }, to: path("keyless.gguf"))
        #expect(throws: (any Error).self) { try LLaVAModel.load(from: path("keyless.gguf")) }
    }

    @Test(
        "maps of the vision tower take a type of their own, all else in it stays",
        arguments: [ElementType.float16, .q8_0])
    func encoder(type: ElementType) throws {
        let parts = try TinyParts()
        for (name, source) in [("clip", TinyModel.path), ("dinov2", try assembled(parts))] {
            let written = try quantize(source, to: name, .q8_0, encoder: type)
            let file = type == .q8_0 ? "model.gguf" : "model.safetensors"
            #expect(written.files[1].name == "vision_tower/\(file)")
            let tower = try CheckpointDirectory(path: path("\(name)/vision_tower"))
            let isMap = { (tensor: String) in
                tensor.hasSuffix(".weight") && [".self_attn.", ".mlp.", ".attention."].contains { tensor.contains($0) }
            }
            #expect(tower.tensors.keys.contains(where: isMap))
            let (before, after) = (try LLaVAModel.load(from: source), try LLaVAModel.load(from: path(name)))
            for (tensor, value) in tower.tensors where isMap(tensor) {
                #expect(value.elementType == type.fitting(value.shape), "\(tensor)")
            }
            let expected = try before.encode(before.process(picture())).tensor.floats
            let found = try after.encode(after.process(picture())).tensor.floats
            let error = zip(expected, found).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
            let square = expected.reduce(0) { $0 + $1 * $1 }
            #expect((error / square).squareRoot() < (type == .q8_0 ? 0.02 : 0.002), "\(name)")
            // A directory that was written can be written again: blocks stay what they are.
            let again = try quantize(path(name), to: name + "-again", .q8_0)
            func bytes(_ model: String) throws -> Data {
                try Data(contentsOf: root.appending(path: "\(model)/vision_tower/\(file)"))
            }
            #expect(try bytes(name) == bytes(name + "-again") && again.files[0].shares[0].relativeError == 0)
        }
    }

    @Test("rounding at load is refused where a part is in blocks already, and done where another is not")
    func roundingAgain() throws {
        try quantize(TinyModel.path, to: "both", .q8_0, encoder: .q8_0)
        try quantize(TinyModel.path, to: "decoder", .q8_0)
        func load(_ name: String, _ quantization: Quantization) throws -> LLaVAModel {
            var options = LoadOptions()
            options.quantization = quantization
            return try LLaVAModel.load(from: path(name), options: options)
        }
        // The routers of a mixture are plain, and nothing that is rounded.
        for quantization in [
            Quantization(encoder: .int8), .init(decoder: .q4_0), .init(encoder: .int8, decoder: .q4_0),
        ] {
            #expect(throws: LLaVAError.self) { try load("both", quantization) }
        }
        #expect(throws: LLaVAError.self) { try load("decoder", Quantization(decoder: .q4_0)) }
        _ = try load("decoder", Quantization(encoder: .int8, decoder: .q4_0))
    }

    @Test("adapters of low rank come along, and a file of the decoder alone has no place for them")
    func adapters() throws {
        let parts = try TinyParts()
        var options = LoadOptions()
        options.lora = path("lora")
        let map = "model.layers.1.self_attn.q_proj"
        try FileManager.default.createDirectory(atPath: path("lora"), withIntermediateDirectories: true)
        try SafetensorsWriter.write(
            [
                "base_model.model.\(map).lora_A.weight": .random([2, 64], seed: 8),
                "base_model.model.\(map).lora_B.weight": .random([64, 2], seed: 9),
            ], to: path("lora/adapter_model.safetensors"))
        try Data(#"{"peft_type": "LORA", "r": 2, "lora_alpha": 4}"#.utf8)
            .write(to: root.appending(path: "lora/adapter_config.json"))
        let source = try assembled(parts)
        try quantize(source, to: "model", .q8_0, options: options)
        for file in ["adapter_config.json", "adapter_model.safetensors"] {
            let copied = try Data(contentsOf: root.appending(path: "model/lora/\(file)"))
            #expect(try copied == Data(contentsOf: root.appending(path: "lora/\(file)")))
        }
        #expect(try LLaVAModel.load(from: path("model")).adapters.count == 1)
        let error = #expect(throws: LLaVAError.self) { try quantize(path("model"), to: "a.gguf", .q8_0) }
        #expect("\(error, default: "")".contains("lora"))
    }

    /// A model assembled of a DINOv2 tower, a decoder and a new connector.
    private func assembled(_ parts: TinyParts) throws -> String {
        _ = try AssembledModel.write(
            decoder: parts.decoder.path, visionTower: parts.tower.path,
            connector: .queryTransformer(maximumTokens: 9, seed: 3),
            config: [("mm_vision_select_layer", "-2"), ("conversation_template", "vicuna_v1")],
            to: parts.path("model"))
        return parts.path("model")
    }

    @Test("an assembled model becomes one that needs none of its parts, and llama.cpp's names are in its decoder")
    func assembledModel() throws {
        let parts = try TinyParts()
        try quantize(assembled(parts), to: "model", .q8_0)
        try FileManager.default.removeItem(at: parts.root)
        let model = try LLaVAModel.load(from: path("model"))
        #expect(model.maximumVisualTokens == 9 && model.config.conversationTemplate == "vicuna_v1")
        let file = try GGUFFile(path: path("model/decoder.gguf"))
        #expect(file.metadata["general.architecture"] == .string("llama"))
        #expect(file.tensors["blk.1.attn_q.weight"]?.elementType == .q8_0)
        let json = try String(contentsOf: root.appending(path: "model/model.json"), encoding: .utf8)
        #expect(!json.contains(parts.root.lastPathComponent))
    }

    @Test("values of config.json that are lists, and overrides, reach the written model")
    func configuration() throws {
        let pinpoints = [[96, 192], [192, 96], [192, 192]]
        let source = try TinyModel.copyWithProjector()
        try TinyModel.change(
            [
                "image_aspect_ratio": "anyres", "image_grid_pinpoints": pinpoints, "eos_token_id": [2, 7],
                "mm_patch_merge_type": "spatial_unpad", "max_num_patches": 9, "conversation_template": nil,
            ], in: source.appending(path: "config.json"))
        var tensors = try SafetensorsFile(path: source.path + "/model.safetensors").tensors
        tensors["model.image_newline"] = .random([64], seed: 4)
        try SafetensorsWriter.write(tensors, to: source.path + "/model.safetensors")
        var options = LoadOptions()
        options.configOverrides = [("max_num_patches", "4")]
        try quantize(source.path, to: "model", .q5_1, options: options, template: "llava_v1")
        let model = try LLaVAModel.load(from: path("model"))
        #expect(model.config.eosTokenIds == [2, 7] && model.config.maxNumPatches == 4)
        #expect(model.config.conversationTemplate == "llava_v1")
        let before = try LLaVAModel.load(from: source.path, options: options)
        let (one, other) = (try before.process(picture()), try model.process(picture()))
        #expect(one.pixelValues.bytes == other.pixelValues.bytes && one.pixelValues.shape[0] > 1)
        #expect(
            try before.visualTokens(from: before.encode(one)).embeddings.bytes
                == model.visualTokens(from: model.encode(other)).embeddings.bytes)
    }

    @Test("types that do not fit rows give way as in llama.cpp, which is said")
    func fallback() throws {
        let parts = try TinyParts()
        let written = try quantize(parts.decoder.path, to: "a.gguf", .q4_K)
        let tensors = try decoder("a.gguf")
        #expect(tensors["model.layers.0.mlp.up_proj.weight"]?.elementType == .q5_0)
        #expect(tensors["lm_head.weight"]?.elementType == .q8_0)
        #expect(tensors["model.embed_tokens.weight"]?.elementType == .q8_0)
        #expect(written.notes.contains { $0.contains("multiples of 256 cannot be Q4_K; they are Q5_0") })
        #expect(ElementType.q5_K.fitting([4, 64]) == .q5_1 && ElementType.q5_K.fitting([4, 512]) == .q5_K)
        #expect(ElementType.q4_1.fitting([4, 40]) == .float16 && ElementType.q6_K.fitting([4, 40]) == .float16)
        #expect(DecoderTypes(maps: .q4_0).words == .q6_K && DecoderTypes(maps: .q8_0).words == .q8_0)
        #expect(DecoderTypes(maps: .float16).words == .float16)
        // A source in blocks is no place to begin from, unless its blocks stay.
        #expect(
            try quantize(path("a.gguf"), to: "b.gguf", .q8_0).notes.contains { $0.contains("rounded already, to Q5_0") }
        )
        #expect(try !quantize(path("b.gguf"), to: "c.gguf", .q8_0).notes.contains { $0.contains("rounded already") })
    }

    @Test("what cannot be meant is refused, and nothing is left behind")
    func refusals() throws {
        let parts = try TinyParts()
        #expect(throws: CheckpointError.self) { try quantize(parts.decoder.path, to: "directory", .q8_0) }
        #expect(throws: LLaVAError.self) { try quantize(parts.decoder.path, to: "a.gguf", .q8_0, encoder: .q8_0) }
        #expect(throws: LLaVAError.self) { try quantize(TinyModel.path, to: "a.gguf", .q8_0, template: "plain") }
        #expect(throws: (any Error).self) { try quantize(TinyModel.path, to: "model", .q8_0, template: "no such") }
        #expect(throws: (any Error).self) { try quantize(path("nothing"), to: "model", .q8_0) }
        let damaged = try TinyModel.copy { $0["model.norm.weight"] = nil }
        #expect(throws: WeightError.self) { try quantize(damaged.path, to: "model", .q8_0) }
        let infinite = try TinyModel.copy {
            $0["lm_head.weight"] = Tensor(repeating: .infinity, shape: [512, 64])
        }
        let error = #expect(throws: CheckpointError.self) { try quantize(infinite.path, to: "model", .q8_0) }
        #expect("\(error, default: "")".contains("tensor output.weight: element 0"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: root.path).isEmpty)
        try quantize(TinyModel.path, to: "model", .q8_0)
        #expect(throws: CheckpointError.self) { try quantize(TinyModel.path, to: "model", .q8_0) }
    }

    @Test("words that llama.cpp would cut otherwise keep their ids under a rule that it refuses")
    func wholeWords() throws {
        let demo = Fixtures.directory.appending(path: "demo-model").path
        let written = try quantize(demo, to: "decoder.gguf", .q8_0)
        #expect(written.notes.contains { $0.contains("llama.cpp refuses") })
        let file = try GGUFFile(path: path("decoder.gguf"))
        #expect(file.metadata["tokenizer.ggml.pre"] == .string("vlm-words-gpt-2"))
        let (one, other) = (
            try TokenizerFiles(.init(path: demo)).tokenizer,
            try TokenizerFiles(.init(path: path("decoder.gguf"))).tokenizer
        )
        let text = "how many red circles are left of the square?"
        #expect(one.encode(text) == other.encode(text) && one.encode(text).count < 15)
    }
}
