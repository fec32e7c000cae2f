import Foundation
import LLaVAPipeline
import ModelFiles
import Tensors
import TestSupport
import Testing

@testable import Training

@Suite("Training a tower on dense labels")
struct TowerTrainingTests {
    private let directory: URL

    init() throws {
        directory = try Fixtures.temporaryDirectory()
        try RandomModel.write(
            configuration: HybridModel.configuration(in: directory).path,
            to: directory.appending(path: "start").path, seed: 2)
    }

    private func recipe(_ changes: [String: Any] = [:], named name: String = "recipe.json") throws -> String {
        var keys: [String: Any] = [
            "stage": "dense_labels", "model": "start/vision_tower", "seed": 3, "steps": 6, "batch": 4,
            "checkpoint_every": 2, "data": [["set": "scenes", "split": "train", "count": 12]],
            "validation": [["set": "scenes", "split": "validation", "count": 6]], "trainable": ["*"],
            "optimizer": ["learning_rate": 1e-3, "warmup_steps": 2, "clip_norm": 1],
        ]
        for (key, value) in changes { keys[key] = value }
        let url = directory.appending(path: name)
        try JSONSerialization.data(withJSONObject: keys).write(to: url)
        return url.path
    }

    private func run(
        _ recipe: String, to name: String, resuming: Bool = false, stoppingAfter steps: Int = .max
    ) throws -> [TrainingRun.Progress] {
        let run = try TrainingRun(recipe: recipe, directory: directory.appending(path: name).path, resuming: resuming)
        var progress: [TrainingRun.Progress] = []
        try run.run(isCancelled: { progress.count >= steps }) { progress.append($0) }
        return progress
    }

    private func weights(_ name: String) throws -> [String: [UInt8]] {
        try SafetensorsFile(path: directory.appending(path: "\(name)/model/model.safetensors").path)
            .tensors.mapValues(\.bytes)
    }

    @Test("a run that was stopped and resumed ends with the same bytes, running averages among them")
    func resuming() throws {
        let recipe = try recipe()
        let whole = try run(recipe, to: "whole")
        #expect(Set(whole.last?.accuracy?.keys.map(\.self) ?? []) == ["scenes/shape", "scenes/colour"])
        _ = try run(recipe, to: "parts", stoppingAfter: 3)
        #expect(try run(recipe, to: "parts", resuming: true).map(\.loss) == whole.dropFirst(3).map(\.loss))
        let (parts, all) = (try weights("parts"), try weights("whole"))
        #expect(parts == all)
        let start = try SafetensorsFile(
            path: directory.appending(path: "start/vision_tower/model.safetensors").path
        ).tensors
        #expect(start.keys.sorted() == all.keys.sorted())
        for (name, tensor) in start { #expect(all[name] != tensor.bytes, "\(name) has not moved") }
    }

    @Test("a few pictures are learned by heart, and what was learned is a tower for a model")
    func overfitting() throws {
        let recipe = try recipe([
            "data": [["set": "scenes", "split": "train", "count": 4]], "steps": 200, "checkpoint_every": 1000,
            "validation": [["set": "scenes", "split": "train", "count": 4]],
            "optimizer": ["learning_rate": 5e-3, "warmup_steps": 10, "clip_norm": 1],
        ])
        let progress = try run(recipe, to: "run")
        #expect((progress.first?.loss ?? 0) > 1.5)
        #expect((progress.last?.loss ?? 9) < 0.1)
        let tower = try VisionTower.load(from: directory.appending(path: "run/model").path)
        #expect(tower.parameters.isEmpty)
        var options = LoadOptions()
        options.visionTower = directory.appending(path: "run/model").path
        _ = try LLaVAModel.load(from: directory.appending(path: "start").path, options: options)
    }

    @Test("answers are learned on another tower's features, and the result takes that tower with it")
    func answers() throws {
        _ = try run(recipe(["steps": 2]), to: "tower")
        let path = try recipe(
            [
                "stage": "answers", "model": "start", "vision_tower": "tower/model", "steps": 2, "captions": true,
                "trainable": ["model.*", "lm_head.*"],
            ], named: "answers.json")
        _ = try run(path, to: "answers")
        let (own, trained) = (
            try Data(contentsOf: directory.appending(path: "answers/model/vision_tower/model.safetensors")),
            try Data(contentsOf: directory.appending(path: "tower/model/model.safetensors"))
        )
        #expect(own == trained)
        _ = try Assistant(LLaVAModel.load(from: directory.appending(path: "answers/model").path))
    }

    @Test("easy-VQA tells of a whole picture what an answer tells")
    func wholePictures() {
        let turns = [("is it red?", "no"), ("what shape is it?", "circle"), ("which colour?", "teal")].map {
            QuestionAnswer(question: $0, answer: $1, type: EasyVQADataset.type(of: $1))
        }
        let labels = EasyVQADataset.labels(of: turns)
        #expect(labels.grid == 1)
        #expect(labels.fields.map { $0.classes[Int($0.values[0])] } == ["circle", "teal"])
        let unknown = EasyVQADataset.labels(of: Array(turns.prefix(2)))
        #expect(unknown.fields[1].values == [DenseLabels.ignored])
    }

    @Test("a data set that does not know what is seen where is refused")
    func noLabels() throws {
        let file = directory.appending(path: "data.jsonl")
        try Data(#"{"image": "a.png", "question": "what?", "answer": "a cat"}"#.utf8).write(to: file)
        try FileManager.default.copyItem(atPath: Pictures.png, toPath: directory.appending(path: "a.png").path)
        let path = try recipe(["data": [["set": "data.jsonl"]]])
        let error = try #require(throws: RecipeError.self) { try run(path, to: "run") }
        #expect("\(error)".contains("data.set"), "\(error)")
    }
}
