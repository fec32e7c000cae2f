import Foundation
import LLaVAPipeline
import LanguageDecoder
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing

@testable import Training

@Suite("Training maps of low rank")
struct LowRankTrainingTests {
    private let directory: URL

    init() throws {
        directory = try Fixtures.temporaryDirectory()
        try RandomModel.write(
            configuration: HybridModel.configuration(in: directory).path, to: path("start"), seed: 2)
        let lines = (0..<4).map { #"{"question": "what is \#($0)?", "answer": "it is \#($0 * 7)"}"# }
        try Data(lines.joined(separator: "\n").utf8).write(to: directory.appending(path: "text.jsonl"))
    }

    private func path(_ name: String) -> String { directory.appending(path: name).path }

    private func recipe(_ changes: [String: Any] = [:]) throws -> String {
        var keys: [String: Any] = [
            "model": "start", "seed": 3, "steps": 3, "batch": 2, "checkpoint_every": 2, "trainable": [],
            "data": [["set": "scenes", "split": "train", "count": 6, "questions": 2]],
            "lora": ["rank": 4, "alpha": 8, "targets": ["model.layers.*_proj.weight"]],
            "optimizer": ["learning_rate": 1e-2, "clip_norm": 1],
        ]
        for (key, value) in changes { keys[key] = value }
        let url = directory.appending(path: "recipe-\(UUID().uuidString).json")
        try JSONSerialization.data(withJSONObject: keys).write(to: url)
        return url.path
    }

    @discardableResult
    private func run(
        _ recipe: String, to name: String, resuming: Bool = false, stoppingAfter steps: Int = .max
    ) throws -> [TrainingRun.Progress] {
        let run = try TrainingRun(recipe: recipe, directory: path(name), resuming: resuming)
        var progress: [TrainingRun.Progress] = []
        try run.run(isCancelled: { progress.count >= steps }) { progress.append($0) }
        return progress
    }

    private func logits(_ model: LLaVAModel) -> [Float] {
        let embeddings = model.decoder.embedTokens([3, 14, 15, 9, 26])
        let hidden = model.decoder.hiddenStates(ofSequence: embeddings, positions: Array(0..<5), mask: .causal)
        return model.decoder.logits(hidden).floats
    }

    private func difference(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).map { abs($0 - $1) }.max() ?? .infinity }

    @Test("what is merged into the weights computes what the frozen weights and the maps beside them compute")
    func merging() throws {
        try run(recipe(), to: "run")
        let base = try SafetensorsFile(path: path("start/model.safetensors")).tensors
        let merged = try SafetensorsFile(path: path("run/model/model.safetensors")).tensors
        #expect(base.keys.sorted() == merged.keys.sorted())
        for (name, tensor) in base {
            let isSame = merged[name]?.bytes == tensor.bytes
            #expect(isSame != (name.hasPrefix("model.layers.") && name.hasSuffix("_proj.weight")), "\(name)")
        }
        var options = LoadOptions()
        options.lora = path("run/lora")
        let beside = try logits(LLaVAModel.load(from: path("start"), options: options))
        let whole = try logits(LLaVAModel.load(from: path("run/model")))
        #expect(difference(beside, whole) < 1e-4)
        #expect(try difference(whole, logits(LLaVAModel.load(from: path("start")))) > 1e-3)
    }

    @Test("a run that was stopped and resumed ends with the same bytes")
    func resuming() throws {
        let recipe = try recipe()
        try run(recipe, to: "whole")
        try run(recipe, to: "parts", stoppingAfter: 2)
        try run(recipe, to: "parts", resuming: true)
        for file in ["lora/adapter_model.safetensors", "model/model.safetensors"] {
            let parts = try Data(contentsOf: directory.appending(path: "parts/" + file))
            #expect(try parts == Data(contentsOf: directory.appending(path: "whole/" + file)))
        }
    }

    @Test("quantised weights of a GGUF file stay as they are, and the maps beside them learn by heart")
    func quantised() throws {
        _ = try CheckpointConversion(path("start"), to: path("base.gguf"), as: .q8_0)
        let path = try recipe([
            "model": "base.gguf", "template": "vicuna_v1", "data": [["set": "text.jsonl"]], "steps": 120, "batch": 4,
            "checkpoint_every": 1000,
            "optimizer": ["learning_rate": 2e-2, "warmup_steps": 5, "clip_norm": 1],
            "lora": ["rank": 8, "alpha": 16, "targets": ["model.layers.*", "lm_head.weight"]],
        ])
        let progress = try run(path, to: "run")
        #expect((progress.first?.loss ?? 0) > 3)
        #expect((progress.last?.loss ?? 9) < 0.5, "\(progress.last?.loss ?? 9)")
        #expect(!FileManager.default.fileExists(atPath: self.path("run/model")))
        var options = LoadOptions()
        options.lora = self.path("run/lora")
        let model = try LLaVAModel.load(from: self.path("base.gguf"), options: options)
        #expect(try difference(logits(model), logits(LLaVAModel.load(from: self.path("base.gguf")))) > 0.1)
    }

    @Test("a model of parts is written with its trained connector and the maps of its decoder, and loads")
    func assembled() throws {
        _ = try CheckpointConversion(path("start"), to: path("base.gguf"), as: .q8_0)
        _ = try AssembledModel.write(
            decoder: path("base.gguf"), visionTower: path("start/vision_tower"),
            connector: .queryTransformer(maximumTokens: 4, seed: 1),
            config: [("mm_vision_select_layer", "-1"), ("conversation_template", "vicuna_v1")], to: path("parts"))
        try run(recipe(["model": "parts", "trainable": ["model.query_abstractor.*"]]), to: "run")
        let model = try LLaVAModel.load(from: path("run/model"))
        #expect(!model.config.isUntrained && model.maximumVisualTokens == 4)
        #expect(model.adapters.count == 4 * 7)
        let before = try SafetensorsFile(path: path("parts/connector.safetensors")).tensors
        let after = try SafetensorsFile(path: path("run/model/connector.safetensors")).tensors
        #expect(before.keys.sorted() == after.keys.sorted())
        let isSame = before["model.query_abstractor.query"]?.bytes == after["model.query_abstractor.query"]?.bytes
        #expect(!isSame)

        let whole = try recipe(["model": "parts", "trainable": ["model.layers.*"], "lora": NSNull()])
        let error = try #require(throws: RecipeError.self) { try run(whole, to: "whole") }
        #expect("\(error)".contains("lora"), "\(error)")
    }

    @Test(
        "settings that make no adapters are refused",
        arguments: [
            (#"{"lora": {"rank": 0, "alpha": 1, "targets": ["*"]}}"#, "rank"),
            (
                #"{"lora": {"rank": 4, "alpha": 1, "targets": ["nothing"]}, "trainable": ["model.norm.*"]}"#,
                "lora.targets"
            ),
            (#"{"lora": {"rank": 4, "alpha": 1, "target": ["*"]}}"#, "target"), (#"{"lora": null}"#, "trainable"),
        ])
    func mistakes(changes: String, word: String) throws {
        let keys = try JSONSerialization.jsonObject(with: Data(changes.utf8)) as? [String: Any]
        let error = try #require(throws: (any Error).self) { try run(recipe(keys ?? [:]), to: "run") }
        #expect("\(error)".contains(word), "\(error)")
    }

    @Test("adapters of another kind, or for another model, are refused")
    func strangers() throws {
        try run(recipe(["steps": 1]), to: "run")
        var options = LoadOptions()
        options.lora = path("run/lora")
        let other = try #require(throws: (any Error).self) {
            try LLaVAModel.load(from: TinyModel.path, options: options)
        }
        #expect("\(other)".contains("lora_"), "\(other)")
        try TinyModel.change(["use_dora": true], in: directory.appending(path: "run/lora/adapter_config.json"))
        let kind = try #require(throws: LLaVAError.self) { try LLaVAModel.load(from: path("start"), options: options) }
        #expect("\(kind)".contains("use_dora"), "\(kind)")
    }
}
