import TestSupport
import Testing

@testable import LLaVAPipeline

@Suite struct FirstTokenCostTests {
    private let text = FirstTokenCost.measuredTextTokens
    /// 10 ms at 1 token, 20 at 11, 60 at 31; the sample at 21 is noise.
    private let cost = FirstTokenCost(
        samples: [(11, 0.020), (1, 0.010), (21, 0.015), (31, 0.060)].map { .init(visualTokens: $0.0, seconds: $0.1) },
        secondsPerTextToken: 0.001)

    @Test("times lie on straight lines between the measured ones, never fall, and go on beyond them")
    func prediction() {
        let expected = [(1, 0.010), (6, 0.015), (11, 0.020), (16, 0.020), (21, 0.020), (26, 0.040), (41, 0.100)]
        for (tokens, seconds) in expected {
            #expect(abs(cost.seconds(visualTokens: tokens, textTokens: text) - seconds) < 1e-12, "\(tokens)")
        }
        #expect(abs(cost.seconds(visualTokens: 1, textTokens: text + 5) - 0.015) < 1e-12)
        #expect(cost.seconds(visualTokens: 1, textTokens: 0) == 0)
    }

    @Test(
        "the budget is the largest whose time fits, over all views and images, and there is none for too short a time")
    func choice() {
        func budget(_ seconds: Double, views: Int = 1, fixed: Int = 0, text extra: Int = 0) -> Int? {
            cost.largestBudget(
                within: seconds, maximum: 31, views: views, fixedTokens: fixed, textTokens: text + extra)
        }
        #expect(budget(0.0099) == nil)
        #expect(budget(0.0151) == 6)
        #expect(budget(0.0401) == 26)
        #expect(budget(1) == 31)
        #expect(budget(0.0401, views: 2) == 13)
        #expect(budget(0.0401, fixed: 20) == 6)
        #expect(budget(0.0201, text: 5) == 6)
    }

    @Test("a model is measured from 1 to M tokens")
    func measuring() throws {
        let model = try LLaVAModel.load(from: TinyModel.path)
        let measured = try FirstTokenCost.measured(model)
        #expect(measured.samples.first?.visualTokens == 1)
        #expect(measured.samples.last?.visualTokens == model.maximumVisualTokens)
        #expect(measured.samples.allSatisfy { $0.seconds > 0 })
    }
}
