import Foundation
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors
import VisionEncoder

/// A whole model that learns to answer questions about pictures, its tower frozen.
final class AnswerLearner: Learner {
    let model: LLaVAModel
    private let trainer: Trainer
    private let sources: [ExampleSource]
    private let validation: [ExampleSource]
    private let towerPath: String?
    private let form: TrainedModel.Form

    /// - Parameters:
    ///   - base: what the recipe's relative paths begin at.
    ///   - cacheBytes: how much memory features of images may take.
    ///   - skipBad: whether to pass over examples whose picture is missing or cannot be decoded.
    init(_ recipe: Recipe, relativeTo base: URL, cacheBytes: Int, skipBad: Bool) throws {
        var options = LoadOptions()
        options.trains = { recipe.trains($0) }
        options.adaptation = recipe.lora.map { lora in
            LowRankAdaptation(rank: lora.rank, alpha: Float(lora.alpha), seed: recipe.seed) { lora.adapts($0) }
        }
        towerPath = recipe.visionTower.map { Recipe.path($0, relativeTo: base) }
        options.visionTower = towerPath
        let modelPath = Recipe.path(recipe.model, relativeTo: base)
        model = try LLaVAModel.load(from: modelPath, options: options)
        guard !model.parameters.isEmpty else {
            let names = try CheckpointDirectory(path: modelPath).tensors.keys.sorted()
            throw RecipeError.nothingTrained(patterns: recipe.trainable, examples: Array(names.prefix(3)))
        }
        form = try TrainedModel.Form(model, recipe: recipe.model)
        if let lora = recipe.lora, model.adapters.isEmpty {
            throw RecipeError.invalid(
                file: "the recipe", key: "lora.targets", expected: "the name of a linear map's weight",
                got: lora.targets.joined(separator: ", "))
        }
        for number in recipe.visualTokens?.named ?? [] { _ = try model.budget(number) }
        var trainer = Trainer(model)
        trainer.isCheckpointing = recipe.gradientCheckpointing ?? false
        self.trainer = trainer

        let assistant = try Assistant(model, templateName: recipe.template)
        let side = assistant.pictureSide
        let memory = FeatureMemory(bytes: cacheBytes)
        func opened(_ source: Recipe.DataSource) throws -> ExampleSource {
            try ExampleSource(
                source.dataset(relativeTo: base, side: side, skipBad: skipBad), assistant,
                captions: recipe.captions ?? false,
                memory: memory)
        }
        sources = try recipe.data.map(opened)
        validation = try (recipe.validation ?? []).map(opened)
    }

    var parameters: [Parameter] { model.parameters }
    var statistics: [String: RunningStatistics] { [:] }
    var datasets: [any TrainingDataset] { sources.map(\.dataset) }
    var maximumVisualTokens: Int? { model.maximumVisualTokens }

    func origin(of place: ExampleStream.Place) -> String { "\(sources[place.source].dataset.name) \(place.index)" }

    func learn(_ places: [ExampleStream.Place], visualTokens: [Int]?, weight: Double) throws -> Trainer.Outcome {
        var whole = Trainer.Outcome(loss: 0, supervisedTokens: 0, tokens: 0)
        let items = try items(places)
        let budgets = Self.weights(of: visualTokens)
        for group in Self.groups(items) {
            for (budget, part) in budgets {
                let share = part * Double(group.count) / Double(items.count)
                let outcome = try trainer.learn(group, visualTokens: budget, weight: weight * share)
                whole.loss += outcome.loss * share
                whole.tokens += outcome.tokens
                whole.supervisedTokens += outcome.supervisedTokens
            }
        }
        return whole
    }

    /// What a batch is learned at, ascending: a number that is named several times counts as often.
    static func weights(of visualTokens: [Int]?) -> [(budget: Int?, part: Double)] {
        guard let visualTokens else { return [(nil, 1)] }
        let counts = visualTokens.reduce(into: [:]) { $0[$1, default: 0] += 1 }
        return counts.sorted { $0.key < $1.key }.map { ($0.key, Double($0.value) / Double(visualTokens.count)) }
    }

    /// The examples at some places, in order of their sources.
    private func items(_ places: [ExampleStream.Place]) throws -> [Trainer.Item] {
        try sources.indices.flatMap { source in
            try sources[source].items(at: places.filter { $0.source == source }.map(\.index))
        }
    }

    /// Examples with and without an image cannot be packed together.
    private static func groups(_ items: [Trainer.Item]) -> [[Trainer.Item]] {
        [items.filter { $0.features != nil }, items.filter { $0.features == nil }].filter { !$0.isEmpty }
    }

    func evaluate(batch: Int) throws -> [String: Double] {
        var counts: [String: (right: Int, all: Int)] = [:]
        for source in validation {
            for start in stride(from: 0, to: source.dataset.count, by: batch) {
                let items = try source.items(at: Array(start..<min(source.dataset.count, start + batch)))
                for group in Self.groups(items) {
                    for (type, isRight) in try trainer.answersRightly(group, visualTokens: model.maximumVisualTokens) {
                        for key in [source.dataset.name, "\(source.dataset.name)/\(type)"] {
                            counts[key, default: (0, 0)].all += 1
                            counts[key, default: (0, 0)].right += isRight ? 1 : 0
                        }
                    }
                }
            }
        }
        return counts.mapValues { Double($0.right) / Double($0.all) }
    }

    func write(to directory: URL) throws {
        try TrainedModel.write(model, as: form, visionTower: towerPath, to: directory)
    }
}

extension Assistant {
    /// Width and height of pictures that are drawn for the model.
    var pictureSide: Int { model.vision?.imageProcessor.cropSize.width ?? 128 }
}
