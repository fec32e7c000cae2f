import Foundation
import LLaVAPipeline
import ModelFiles
import MQT
import NeuralNetwork
import Tensors
import TestSupport
import Testing
import VisionEncoder

@Suite("Models assembled from parts")
struct AssembledModelTests {
    private let parts: TinyParts

    init() throws { parts = try TinyParts() }

    private func assemble(
        _ connector: AssembledModel.ConnectorSource, decoder: String? = nil,
        _ config: [(key: String, value: String)] = [
            ("mm_vision_select_layer", "-2"), ("conversation_template", "plain"),
        ]
    ) throws -> LLaVAModel {
        try AssembledModel.write(
            decoder: decoder ?? parts.decoder.path, visionTower: parts.tower.path, connector: connector,
            config: config, to: parts.path("model"))
    }

    private func picture() throws -> RGBImage { try RGBImage.decode(contentsOf: Pictures.png).image }

    @Test("a tower of any family, a new query transformer and a decoder see a picture at every budget")
    func queryTransformer() throws {
        let model = try assemble(.queryTransformer(maximumTokens: 9, seed: 3))
        let vision = try #require(model.vision)
        // 20 pixels in patches of 4, though the tower's own positions are a grid of 3.
        #expect(vision.grid == PatchGrid(height: 5, width: 5) && vision.hiddenStateIndex == 1)
        #expect(model.maximumVisualTokens == 9 && model.config.isUntrained)

        let features = try model.encode(model.process(picture()))
        #expect(features.tensor.shape == [1, 25, 32])
        let all = try model.visualTokens(from: features)
        #expect(all.embeddings.shape == [9, 64])
        for m in 1...9 {
            let some = try model.visualTokens(from: features, budget: model.budget(m))
            #expect(some.embeddings.bytes == all.embeddings[0..<m].bytes)
        }
    }

    @Test("the parts are used as they are: features are the tower's, tokens those of the connector's file")
    func sameNumbers() throws {
        let model = try assemble(.queryTransformer(maximumTokens: 4, seed: 5))
        let pixels = try model.process(picture())
        let features = try model.encode(pixels)
        let reader = WeightReader(TinyDinov2().tensors)
        let config = try CheckpointDirectory(path: parts.tower.path).decodeConfig(Dinov2Config.self)
        let tower = VisionTransformer(dinov2: config, reader)
        #expect(features.tensor.bytes == tower.hiddenState(pixels.pixelValues, at: 1)[0][1..<26].bytes)

        let file = try SafetensorsFile(path: parts.path("model/connector.safetensors")).tensors
        let transformer = QueryTransformer(
            WeightReader(file).scoped("model.query_abstractor"), maximumTokens: 4, featureSize: 32, tokenSize: 64,
            numHeads: 4)
        let table = transformer.attentionTable(for: PatchGrid(height: 5, width: 5))
        let expected = transformer(
            features.tensor[0], budget: try VisualTokenBudget(4, maximum: 4), table: table)
        #expect(try model.visualTokens(from: features).embeddings.bytes == expected.bytes)

        // The same seed makes the same file, another seed another one.
        var initializer = WeightInitializer(seed: 5)
        let again = try QueryTransformer.freshWeights(
            maximumTokens: 4, featureSize: 32, tokenSize: 64, &initializer)
        for (name, tensor) in again { #expect(file["model.query_abstractor." + name]?.bytes == tensor.bytes) }
        let next = try QueryTransformer.freshWeights(maximumTokens: 4, featureSize: 32, tokenSize: 64, &initializer)
        #expect(next["query"]?.bytes != again["query"]?.bytes)
    }

    @Test("a projector, new or from a file, gives a token for every patch")
    func projector() throws {
        let model = try assemble(.projector(layers: 2, seed: 1))
        let tokens = try model.visualTokens(from: model.encode(model.process(picture())))
        #expect(tokens.count == 25 && model.maximumVisualTokens == nil)

        let second = try AssembledModel.write(
            decoder: parts.decoder.path, visionTower: parts.tower.path,
            connector: .file(parts.path("model/connector.safetensors")),
            config: [("mm_vision_select_layer", "-2"), ("conversation_template", "plain")], to: parts.path("second"))
        let others = try second.visualTokens(from: second.encode(second.process(picture())))
        #expect(others.embeddings.bytes == tokens.embeddings.bytes && !second.config.isUntrained)
    }

    @Test("a decoder in GGUF takes the place of the same decoder in safetensors, words included")
    func ggufDecoder() throws {
        let gguf = parts.path("decoder.gguf")
        _ = try CheckpointConversion(parts.decoder.path, to: gguf, as: .float32)
        let model = try assemble(
            .queryTransformer(maximumTokens: 4, seed: 5), decoder: gguf, [("conversation_template", "vicuna_v1")])
        let plain = try AssembledModel.write(
            decoder: parts.decoder.path, visionTower: parts.tower.path,
            connector: .queryTransformer(maximumTokens: 4, seed: 5), config: [("conversation_template", "vicuna_v1")],
            to: parts.path("plain"))
        let (a, b) = (try Assistant(model), try Assistant(plain))
        let (first, second) = try (
            a.ids(of: a.conversation(asking: "what is it?", images: 1)),
            b.ids(of: b.conversation(asking: "what is it?", images: 1))
        )
        #expect(first == second && a.endTokens == b.endTokens)
        func embeddings(_ model: LLaVAModel) throws -> [UInt8] {
            let tokens = try model.visualTokens(from: model.encode(model.process(picture())))
            return try model.prompt(first, images: [tokens]).inputsEmbeds.bytes
        }
        #expect(try embeddings(model) == embeddings(plain))
    }

    @Test("a part that has changed, is gone or is named by a way out of the directory is refused")
    func changedParts() throws {
        _ = try assemble(.queryTransformer(maximumTokens: 4, seed: 5))
        let (file, json) = (parts.path("model/connector.safetensors"), URL(filePath: parts.path("model/model.json")))
        var bytes = try Data(contentsOf: URL(filePath: file))
        bytes[bytes.count - 1] ^= 1
        try bytes.write(to: URL(filePath: file))
        let changed = try #require(throws: LLaVAError.self) { try LLaVAModel.load(from: parts.path("model")) }
        #expect("\(changed)".contains("sha256") && "\(changed)".contains("connector.safetensors"))
        try FileManager.default.removeItem(atPath: file)
        let gone = try #require(throws: CheckpointError.self) { try LLaVAModel.load(from: parts.path("model")) }
        #expect("\(gone)".contains("model.json"))

        let text = try String(contentsOf: json, encoding: .utf8)
        for (old, new, word) in [
            ("\"connector.safetensors\"\n", "\"../connector.safetensors\"\n", "absolute"),
            ("\"connector.safetensors\" : {", "\"a/../../connector.safetensors\" : {", "absolute"),
            ("vlm-assembled-model", "another", "format"), ("\"version\" : 1", "\"version\" : 1, \"more\" : 2", "more"),
        ] {
            try Data(text.replacing(old, with: new).utf8).write(to: json)
            let error = try #require(throws: CheckpointError.self) { try LLaVAModel.load(from: parts.path("model")) }
            #expect("\(error)".contains(word), "\(error)")
        }
    }

    @Test("parts that do not fit leave nothing behind, and what is there is not overwritten")
    func misfits() throws {
        #expect(throws: LLaVAError.self) { try assemble(.queryTransformer(maximumTokens: 5, seed: 0)) }
        #expect(throws: (any Error).self) { try assemble(.file(parts.decoder.path + "/model.safetensors")) }
        #expect(throws: LLaVAError.self) {
            try assemble(.queryTransformer(maximumTokens: 4, seed: 0), [("mm_vision_select_leyer", "1")])
        }
        let left = try FileManager.default.contentsOfDirectory(atPath: parts.root.path).sorted()
        #expect(left == ["decoder", "tower"])
        _ = try assemble(.queryTransformer(maximumTokens: 4, seed: 0))
        #expect(throws: CheckpointError.self) { try assemble(.queryTransformer(maximumTokens: 4, seed: 1)) }
    }
}
