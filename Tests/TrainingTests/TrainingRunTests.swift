import Foundation
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing
import VisionEncoder

@testable import Training

@Suite("Training runs")
struct TrainingRunTests {
    private let directory: URL

    init() throws { directory = try Fixtures.temporaryDirectory() }

    /// A recipe for the tiny model on a few scenes, with some keys changed.
    private func recipe(_ changes: [String: Any] = [:], named name: String = "recipe.json") throws -> String {
        var keys: [String: Any] = [
            "model": TinyModel.path, "seed": 3, "steps": 6, "batch": 3, "checkpoint_every": 2,
            "data": [
                ["set": "scenes", "split": "train", "count": 7, "weight": 2],
                ["set": "scenes", "split": "train", "count": 5, "seed": 9],
            ],
            "validation": [["set": "scenes", "split": "validation", "count": 4]],
            "trainable": ["model.query_abstractor.*", "model.layers.*", "model.norm.*", "lm_head.*"],
            "visual_tokens": "powers_of_two", "optimizer": ["learning_rate": 1e-3, "warmup_steps": 2, "clip_norm": 1],
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

    @Test("a run that was stopped and resumed ends with the bytes of one that was not")
    func resuming() throws {
        let recipe = try recipe()
        let whole = try run(recipe, to: "whole")
        #expect(whole.map(\.step) == Array(1...6) && whole.last?.accuracy?["scenes"] != nil)
        _ = try run(recipe, to: "parts", stoppingAfter: 3)
        let rest = try run(recipe, to: "parts", resuming: true)
        #expect(rest.map(\.step) == [4, 5, 6])
        #expect(rest.map(\.loss) == whole.dropFirst(3).map(\.loss))
        #expect(try weights("parts") == weights("whole"))

        // As after a kill: steps 5 and 6 were taken, but the newest checkpoint is that of step 4.
        try FileManager.default.removeItem(at: directory.appending(path: "parts/checkpoints/step-00000006"))
        try FileManager.default.removeItem(at: directory.appending(path: "parts/model"))
        #expect(try run(recipe, to: "parts", resuming: true).map(\.step) == [5, 6])
        #expect(try weights("parts") == weights("whole"))
        let log = try String(contentsOf: directory.appending(path: "parts/log.jsonl"), encoding: .utf8)
        #expect(log.split(separator: "\n").count == 6)
    }

    @Test("only what the recipe names is trained, and the result loads as a model")
    func frozenParts() throws {
        let recipe = try recipe(["trainable": ["model.query_abstractor.*"], "steps": 2])
        _ = try run(recipe, to: "run")
        let (before, after) = (
            try SafetensorsFile(path: TinyModel.path + "/model.safetensors").tensors.mapValues(\.bytes),
            try weights("run")
        )
        for (name, bytes) in after {
            #expect((bytes == before[name]) != name.hasPrefix("model.query_abstractor."), "\(name)")
        }
        let trained = try LLaVAModel.load(from: directory.appending(path: "run/model").path)
        #expect(!trained.config.isUntrained)
        _ = try Assistant(trained)
    }

    @Test("layers that are computed again give the same bytes")
    func checkpointing() throws {
        _ = try run(recipe(["steps": 2], named: "a.json"), to: "kept")
        _ = try run(recipe(["steps": 2, "gradient_checkpointing": true], named: "b.json"), to: "again")
        #expect(try weights("kept") == weights("again"))
    }

    @Test("examples with broken pictures stop a run, or are counted and passed over; other data do not resume it")
    func brokenPictures() throws {
        let png = Data(try RGBImage(width: 2, height: 1, pixels: [1, 2, 3, 4, 5, 6]).pngBytes())
        try png.write(to: directory.appending(path: "a.png"))
        try png.prefix(40).write(to: directory.appending(path: "b.png"))
        let lines = ["a.png", "b.png", "missing.png", "a.png"].map {
            #"{"image": "\#($0)", "question": "what?", "answer": "this"}"# + "\n"
        }
        let questions = directory.appending(path: "q.jsonl")
        try Data(lines[..<2].joined().utf8).write(to: questions)
        let path = try recipe(["data": [["set": "q.jsonl"]], "steps": 4, "validation": []])
        #expect(throws: ImageError.self) { try run(path, to: "stopped") }

        try Data(lines.joined().utf8).write(to: questions)
        func skipping(resuming: Bool) throws -> TrainingRun {
            try TrainingRun(
                recipe: path, directory: directory.appending(path: "run").path, resuming: resuming, skipBad: true)
        }
        let begun = try skipping(resuming: false)
        #expect(begun.skippedExamples.map(\.count) == [2])
        var steps = 0
        try begun.run(isCancelled: { steps == 2 }, report: { _ in steps += 1 })
        try Data((lines + [lines[0]]).joined().utf8).write(to: questions)
        #expect(throws: RecipeError.self) { try skipping(resuming: true) }
        try Data(lines.joined().utf8).write(to: questions)
        #expect(try skipping(resuming: true).step == 2)
    }

    @Test("a few examples are learned by heart")
    func overfitting() throws {
        let recipe = try recipe([
            "data": [["set": "scenes", "split": "train", "count": 2, "questions": 2]], "batch": 2, "steps": 150,
            "validation": [["set": "scenes", "split": "train", "count": 2, "questions": 2]], "visual_tokens": 4,
            "checkpoint_every": 1000, "trainable": ["model.*", "lm_head.*"],
            "optimizer": ["learning_rate": 3e-3, "warmup_steps": 10, "clip_norm": 1],
        ])
        let progress = try run(recipe, to: "run")
        #expect((progress.first?.loss ?? 0) > 3)
        #expect((progress.last?.loss ?? 9) < 0.05)
    }

    @Test("one batch is learned in every step when that is asked for")
    func oneBatch() throws {
        let path = try recipe(["steps": 12, "visual_tokens": 4])
        let run = try TrainingRun(
            recipe: path, directory: directory.appending(path: "one").path, resuming: false, overfitting: true)
        var progress: [TrainingRun.Progress] = []
        try run.run { progress.append($0) }
        #expect(Set(progress.map(\.tokens)).count == 1)
        #expect((progress.last?.loss ?? 9) < (progress.first?.loss ?? 0) / 2)
    }

    @Test("the data of a recipe is checked source by source")
    func checking() throws {
        let reports = try TrainingRun.check(recipe: recipe())
        #expect(reports.map(\.report.examples) == [7, 5, 4])
        #expect(reports.allSatisfy { $0.report.isSound && $0.report.supervisedTokens > 0 })
        let file = directory.appending(path: "bad.jsonl")
        try Data(#"{"image": "none.png", "question": "what?", "answer": "a cat"}"#.utf8).write(to: file)
        let bad = try recipe(["data": [["set": "bad.jsonl"]]], named: "bad.json")
        let error = try #require(throws: DataError.self) { try TrainingRun.check(recipe: bad) }
        #expect("\(error)".contains("none.png") && "\(error)".contains("line 1"), "\(error)")
    }

    @Test("the log for TensorBoard has its framing, checksums and values")
    func events() throws {
        let url = directory.appending(path: "events.out.tfevents.1")
        try EventLog(url: url).write(step: 300, ["loss": 0.5])
        try EventLog(url: url).write(step: 301, ["loss": 0.25, "rate": 2])
        var bytes = try Array(Data(contentsOf: url))[...]
        var records: [[UInt8]] = []
        func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
            bytes.enumerated().reduce(0) { $0 | UInt64($1.element) << (8 * UInt64($1.offset)) }
        }
        while !bytes.isEmpty {
            let length = Int(number(bytes.prefix(8)))
            #expect(number(bytes.dropFirst(8).prefix(4)) == UInt64(EventLog.maskedChecksum(Array(bytes.prefix(8)))))
            let body = Array(bytes.dropFirst(12).prefix(length))
            #expect(number(bytes.dropFirst(12 + length).prefix(4)) == UInt64(EventLog.maskedChecksum(body)))
            records.append(body)
            bytes = bytes.dropFirst(16 + length)
        }
        #expect(records.count == 3 && records[0].dropFirst(9) == [0x1A, 13] + Array("brain.Event:2".utf8))
        // step 300; summary { value { tag: "loss" simple_value: 0.5 } }
        let value: [UInt8] = [0x0A, 4] + Array("loss".utf8) + [0x15, 0, 0, 0, 0x3F]
        #expect(
            Array(records[1].dropFirst(9))
                == [0x10, 0xAC, 0x02, 0x2A, UInt8(value.count + 2), 0x0A, UInt8(value.count)] + value)
        // CRC-32C of "123456789" is 0xE3069283; the mask is a rotation by 15 and a constant.
        let crc: UInt32 = 0xE306_9283
        #expect(EventLog.maskedChecksum(Array("123456789".utf8)) == (crc >> 15 | crc << 17) &+ 0xA282_EAD8)
    }

    private static let faultyRecipes = [
        (#"{"stepz": 3}"#, "stepz"), (#"{"steps": 0}"#, "steps"), (#"{"trainable": ["nothing.*"]}"#, "nothing.*"),
        (#"{"visual_tokens": "some"}"#, "visual_tokens"), (#"{"visual_tokens": [2, 0]}"#, "visual_tokens"),
        (#"{"visual_tokens": [1, 1000]}"#, "1000"), (#"{"visual_tokens": 1000}"#, "1000"),
        (#"{"data": [{"set": "scenes", "split": "train"}]}"#, "count"),
        (#"{"data": [{"set": "nowhere.jsonl"}]}"#, "nowhere.jsonl"),
        (#"{"data": [{"set": "nowhere.jsonl", "kinds": ["count"]}]}"#, "data.kinds"),
        (#"{"data": [{"set": "scenes", "split": "train", "count": 1, "kinds": ["smell"]}]}"#, "smell"),
        (#"{"data": [{"set": "scenes", "split": "train", "count": 1, "kinds": []}]}"#, "at least one"),
        (#"{"optimizer": {"learning_rate": -1}}"#, "learning_rate"),
        (#"{"optimizer": {"learning_rate": 1, "momentum": 1}}"#, "optimizer.momentum"),
    ]

    @Test("a recipe with a mistake is refused with the key", arguments: faultyRecipes)
    func mistakes(changes: String, word: String) throws {
        let keys = try JSONSerialization.jsonObject(with: Data(changes.utf8)) as? [String: Any]
        let path = try recipe(keys ?? [:])
        let error = try #require(throws: (any Error).self) {
            try TrainingRun(recipe: path, directory: directory.appending(path: "run").path, resuming: false)
        }
        #expect("\(error)".contains(word), "\(error)")
    }

    @Test("every recipe of the repository is one, with what its base says")
    func repositoryRecipes() throws {
        let recipes = Fixtures.directory.deletingLastPathComponent().appending(path: "recipes")
        let files = (FileManager.default.enumerator(atPath: recipes.path)?.allObjects as? [String] ?? [])
            .filter { $0.hasSuffix(".json") && !$0.contains("configuration") && !$0.hasPrefix("shapes") }
        #expect(files.count >= 20)
        for file in files {
            let recipe = try Recipe(contentsOf: recipes.appending(path: file).path)
            #expect(recipe.steps > 0 && recipe.description != nil, "\(file)")
        }
    }

    @Test("a recipe takes from its base what it does not say itself")
    func base() throws {
        _ = try recipe(["steps": 1, "visual_tokens": 4], named: "base.json")
        let path = directory.appending(path: "variant.json")
        try Data(#"{"base": "base.json", "visual_tokens": 2}"#.utf8).write(to: path)
        let progress = try run(path.path, to: "run")
        #expect(progress.map(\.visualTokens) == [[2]])
        // What was carried out is in the run's directory as a whole.
        let whole = try run(directory.appending(path: "run/recipe.json").path, to: "again")
        #expect(whole.map(\.loss) == progress.map(\.loss))

        for (base, word) in [("nowhere.json", "nowhere.json"), ("variant.json", "8 bases"), ("../base.json", "same")] {
            try Data(#"{"base": "\#(base)"}"#.utf8).write(to: path)
            let error = try #require(throws: (any Error).self) { try run(path.path, to: "other") }
            #expect("\(error)".contains(word), "\(error)")
        }
    }

    @Test("a batch that is learned at several budgets costs the mean of its losses at each")
    func severalBudgets() throws {
        func first(_ budgets: Any, _ name: String) throws -> TrainingRun.Progress {
            try run(recipe(["steps": 1, "visual_tokens": budgets], named: "\(name).json"), to: name)[0]
        }
        let (one, four) = (try first(1, "one"), try first(4, "four"))
        let both = try first([1, 4], "both")
        #expect(both.visualTokens == [1, 4])
        #expect(abs(both.loss - (one.loss + four.loss) / 2) < 1e-6 && one.loss != four.loss)
        #expect(both.tokens == one.tokens + four.tokens)
        let weighted = try first([1, 4, 1, 1], "weighted")
        #expect(abs(weighted.loss - (3 * one.loss + four.loss) / 4) < 1e-6 && weighted.tokens == both.tokens)
        // The gradient of the mean is no longer than the mean of the lengths.
        #expect(both.gradientNorm <= (one.gradientNorm + four.gradientNorm) / 2 + 1e-6)
    }

    @Test("a directory that exists is not begun in, and another recipe is not resumed with")
    func directories() throws {
        let recipe = try recipe(["steps": 1])
        _ = try run(recipe, to: "run")
        #expect(throws: RecipeError.self) { try run(recipe, to: "run") }
        #expect(throws: RecipeError.self) { try run(recipe, to: "other", resuming: true) }
        let other = try self.recipe(["steps": 2], named: "other.json")
        #expect(throws: RecipeError.self) { try run(other, to: "run", resuming: true) }
    }
}

@Suite("Packing examples")
struct PackedBatchTests {
    private let examples = [
        TokenizedExample(
            prefix: [1, 5, -200],
            turns: [
                .init(ids: [10, 11, 12], labels: [-100, 11, 12], type: "a"),
                .init(ids: [20, 21], labels: [-100, 21], type: "b"),
            ]),
        TokenizedExample(prefix: [1, 5, -200], turns: [.init(ids: [30, 31], labels: [-100, 31], type: "a")]),
    ]

    @Test("turns see their own image and themselves, and go on from the prefix")
    func layout() throws {
        let batch = PackedBatch(examples, visualTokens: 2)
        #expect(batch.count == 4 + 3 + 2 + 4 + 2)
        #expect(batch.positions == [0, 1, 2, 3, 4, 5, 6, 4, 5, 0, 1, 2, 3, 4, 5])
        #expect(batch.sequences == [0..<9, 9..<15])
        #expect(batch.isVisual.indices.filter { batch.isVisual[$0] } == [2, 3, 11, 12])
        #expect(batch.targets[4...6] == [11, 12, -100] && batch.targets[7...8] == [21, -100])
        #expect(batch.supervisedCount == 4 && batch.textIDs == [1, 5, 10, 11, 12, 20, 21, 1, 5, 30, 31])
        guard case .prefixed(let prefix, let own) = batch.mask else { throw CancellationError() }
        #expect(prefix[3] == 0..<4 && own[3].isEmpty && prefix[5] == 0..<4 && own[5] == 4..<6)
        #expect(prefix[8] == 0..<4 && own[8] == 7..<9 && prefix[14] == 9..<13 && own[14] == 13..<15)
    }

    @Test("the loss of packed turns is that of every turn alone", arguments: [1, 4, 16])
    func packedLoss(visualTokens: Int) throws {
        let model = try LLaVAModel.load(from: TinyModel.path)
        let dense = try #require(model.vision)
        let features = (0..<2).map {
            Tensor.random([dense.grid.count, dense.tower.config.hiddenSize], seed: UInt64($0 + 1))
        }
        let trainer = Trainer(model)
        let all = try trainer.learn(
            zip(features, examples).map { Trainer.Item(features: $0, text: $1) }, visualTokens: visualTokens)
        var sum = 0.0
        for (feature, example) in zip(features, examples) {
            for turn in example.turns {
                var alone = example
                alone.turns = [turn]
                let outcome = try trainer.learn([.init(features: feature, text: alone)], visualTokens: visualTokens)
                sum += outcome.loss * Double(outcome.supervisedTokens)
            }
        }
        #expect(all.supervisedTokens == 4 && abs(all.loss - sum / 4) < 1e-5, "\(all.loss) \(sum / 4)")
    }
}
