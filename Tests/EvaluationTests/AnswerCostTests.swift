import Foundation
import LLaVAPipeline
import LanguageDecoder
import NeuralNetwork
import Tensors
import TestSupport
import Testing
import VisionEncoder

@testable import Evaluation

@Suite struct AnswerCostTests {
    /// Operations that a piece of work came to where kernels are called.
    private func counted<Result>(_ body: () throws -> Result) rethrows -> (operations: Int, result: Result) {
        let counter = OperationCounter()
        var context = ComputeContext()
        context.operations = counter
        let result = try context.run(body)
        return (counter.count, result)
    }

    private func check(_ model: LLaVAModel, budgets: [Int?]) throws {
        let cost = AnswerCost(model)
        let image = try model.process(RGBImage(contentsOf: Pictures.png))
        let (encode, features) = try counted { try model.encode(image) }
        #expect(encode == cost.encode * image.pixelValues.shape[0])
        for m in budgets {
            let (connect, visual) = try counted {
                try model.visualTokens(from: features, budget: m.map { try model.budget($0) } ?? nil)
            }
            let views = image.pixelValues.shape[0]
            #expect(connect == views * cost.connect(visualTokens: visual.count / views), "\(String(describing: m))")
            let prompt = try model.prompt([1, 7, MultimodalPrompt.imageToken, 9], images: [visual])
            let (prefill, entries) = try counted {
                var generation = try Generation(
                    model.decoder, prompt, sampling: SamplingOptions(), maximumTokens: 2, endTokens: [])
                _ = generation.next()
                return generation.takeCache().extent.counts
            }
            #expect(entries == cost.keyValueEntries(textTokens: 3, visualTokens: visual.count))
            #expect(prefill == cost.prefill(textTokens: 3, visualTokens: visual.count), "\(String(describing: m))")
        }
    }

    @Test("operations and keys by formula are those that are counted: p-MoD, dense, projector, a tower of convolutions")
    func formulas() throws {
        try check(LLaVAModel.load(from: TinyModel.path), budgets: [1, 5, 64])
        try check(LLaVAModel.load(from: DenseModel.make().path), budgets: [1, 64])
        try check(LLaVAModel.load(from: TinyModel.copyWithProjector().path), budgets: [nil])
        let directory = try Fixtures.temporaryDirectory()
        let configuration = try HybridModel.configuration(in: directory)
        for (name, keys) in [("a", "positions"), ("b", "features_and_positions")] {
            try TinyModel.change(["query_abstractor_keys": keys], in: configuration.appending(path: "config.json"))
            let path = directory.appending(path: name).path
            try RandomModel.write(configuration: configuration.path, to: path, seed: 1)
            try check(LLaVAModel.load(from: path), budgets: [1, 16])
        }
    }

    @Test("a step costs what is counted")
    func step() throws {
        let model = try LLaVAModel.load(from: TinyModel.path)
        let cost = AnswerCost(model)
        var generation = try Generation(
            model.decoder, MultimodalPrompt(inputsEmbeds: model.decoder.embedTokens([1, 5, 9])),
            sampling: SamplingOptions(), maximumTokens: 3, endTokens: [])
        _ = generation.next()
        let counter = OperationCounter()
        var context = ComputeContext()
        context.operations = counter
        _ = context.run { generation.next() }
        #expect(counter.count == cost.step(after: cost.keyValueEntries(textTokens: 3, visualTokens: 0)))
    }

    @Test("the plots of a model say what its layers keep, in a sound file")
    func plots() throws {
        let svg = try #require(BudgetPlots(LLaVAModel.load(from: TinyModel.path)).svg)
        #expect(
            svg.contains("layer keeps") && svg.contains("GFLOP") && svg.components(separatedBy: "<polyline").count == 4)
        let dense = try #require(BudgetPlots(LLaVAModel.load(from: DenseModel.make().path)).svg)
        #expect(dense.components(separatedBy: "<polyline").count == 3)
    }
}
