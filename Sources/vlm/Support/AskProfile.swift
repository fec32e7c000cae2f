import Foundation
import LanguageDecoder
import LLaVAPipeline
import MQT
import Tensors
import VisionEncoder

/// Answers about one picture, stage by stage.
struct AskProfiler {
    let model: LLaVAModel
    let picture: () throws -> RGBImage
    let textTokens: Int
    let decodeTokens: Int

    /// Answers of one budget.
    struct Answer {
        var imageDecode = StageMeter()
        var preprocess = StageMeter()
        var encode = StageMeter()
        var queryTransformer = StageMeter()
        var prefill = StageMeter()
        var decode = StageMeter()
        /// Milliseconds from the file of the picture to the first token.
        var firstToken: [Double] = []
        var visualTokens = 0
        var kvBytes = 0
        /// What the first answer came to.
        var features: Tensor?
        var logits: Tensor?

        /// Forgets the times of the first answer, which made what is kept.
        mutating func forgetFirst() {
            for stage in [
                \Answer.imageDecode, \.preprocess, \.encode, \.queryTransformer, \.prefill, \.decode,
            ] { self[keyPath: stage].dropFirst() }
            firstToken.removeFirst()
        }
    }

    /// Answers once, from the file of the picture on.
    func ask(_ budget: VisualTokenBudget?, _ answer: inout Answer, keepingLogits: Bool) throws {
        let image = try answer.imageDecode.measure(picture)
        let processed = try answer.preprocess.measure { try model.process(image) }
        let features = try answer.encode.measure { try model.encode(processed) }
        let visual = try answer.queryTransformer.measure { try model.visualTokens(from: features, budget: budget) }
        var generation = try answer.prefill.measure {
            var generation = try begin(visual, keepingLogits: keepingLogits)
            _ = generation.next()
            return generation
        }
        answer.firstToken.append(
            answer.imageDecode.latest + answer.preprocess.latest + answer.encode.latest + answer.queryTransformer.latest
                + answer.prefill.latest)
        // What the first steps make is there for those that follow.
        for _ in 0..<2 { _ = generation.next() }
        answer.decode.measure { for _ in 0..<decodeTokens { _ = generation.next() } }
        answer.visualTokens = visual.count
        answer.kvBytes = generation.cache.usedBytes
        if keepingLogits { (answer.features, answer.logits) = (features.tensor, generation.logits.first) }
    }

    private func begin(_ visual: VisualTokens, keepingLogits: Bool) throws -> Generation {
        let words = (0..<textTokens).map { ($0 * 7919 + 13) % model.config.llama.vocabSize }
        return try Generation(
            model.decoder, model.prompt([MultimodalPrompt.imageToken] + words, images: [visual]),
            sampling: SamplingOptions(), maximumTokens: decodeTokens + 3, endTokens: [], keepsLogits: keepingLogits)
    }

    /// How far answers lie from those with exact products.
    struct Drifts {
        var features: Drift?
        var logits: [LogitDrift?]
    }

    /// What the first answers lead to against exact products of the same weights as they are stored.
    func drifts(_ budgets: [VisualTokenBudget?], _ answers: [Answer]) throws -> Drifts {
        var context = ComputeContext.current
        context.quantizedProducts = .exact
        return try context.run {
            let features = try model.encode(model.process(picture()))
            let logits = try zip(budgets, answers).map { budget, answer -> LogitDrift? in
                let visual = try model.visualTokens(from: features, budget: budget)
                var generation = try begin(visual, keepingLogits: true)
                _ = generation.next()
                guard let exact = generation.logits.first, let native = answer.logits else { return nil }
                return LogitDrift(of: native, from: exact)
            }
            return Drifts(
                features: answers[0].features.map { Drift(of: [$0], from: [features.tensor]) }, logits: logits)
        }
    }
}

/// What `vlm bench ask` prints.
struct AskProfile: Encodable {
    /// The first answer of the process.
    struct First: Encodable {
        var loadMilliseconds: Double
        var visualTokens: Int
        var firstTokenMilliseconds: Double

        init(load: StageMeter, _ answer: AskProfiler.Answer) {
            loadMilliseconds = load.latest.rounded(2)
            visualTokens = answer.visualTokens
            firstTokenMilliseconds = (answer.firstToken.first ?? 0).rounded(2)
        }
    }

    struct Stages: Encodable {
        var imageDecode: StageMeter.Report
        var preprocess: StageMeter.Report
        var encode: StageMeter.Report
        var queryTransformer: StageMeter.Report
        var prefill: StageMeter.Report
        var decodeStep: StageMeter.Report
    }

    struct Budget: Encodable {
        var visualTokens: Int
        var promptTokens: Int
        var firstTokenMilliseconds: Double
        var stages: Stages
        var kvBytes: Int
        var driftOfLogits: LogitDrift?
    }

    var model: String
    var layout: String
    var quantization: String
    var products: String
    var image: String
    var threads: Int
    var kernels: String
    var float32Gflops: Double
    var readGigabytesPerSecond: Double
    var textTokens: Int
    var decodeTokens: Int
    var repeats: Int
    var firstAsk: First
    /// Of the first answers, and once all weights are packed.
    var peakRssBytes: Int
    var packedPeakRssBytes: Int
    var driftOfFeatures: Drift?
    var budgets: [Budget]

    init(
        _ model: LLaVAModel, source: String?, first: First, _ answers: [AskProfiler.Answer], _ rates: MachineRates,
        peakRssBytes: Int, packedPeakRssBytes: Int, textTokens: Int, decodeTokens: Int, repeats: Int,
        drifts: AskProfiler.Drifts?
    ) {
        let context = ComputeContext.current
        self.model = model.path
        layout = "\(model.layout)"
        quantization = model.quantization.words ?? "none"
        products = context.quantizedProducts.rawValue
        image = source ?? "a drawn scene"
        threads = context.pool.threadCount
        kernels = context.kernels.name
        float32Gflops = (rates.flops * 1e-9).rounded(2)
        readGigabytesPerSecond = (rates.bytes * 1e-9).rounded(2)
        (self.textTokens, self.decodeTokens, self.repeats) = (textTokens, decodeTokens, repeats)
        firstAsk = first
        self.peakRssBytes = peakRssBytes
        self.packedPeakRssBytes = packedPeakRssBytes
        driftOfFeatures = drifts?.features
        budgets = answers.enumerated().map { index, answer in
            Budget(
                visualTokens: answer.visualTokens, promptTokens: answer.visualTokens + textTokens,
                firstTokenMilliseconds: answer.firstToken.median.rounded(3),
                stages: Stages(
                    imageDecode: answer.imageDecode.report(at: rates), preprocess: answer.preprocess.report(at: rates),
                    encode: answer.encode.report(at: rates),
                    queryTransformer: answer.queryTransformer.report(at: rates),
                    prefill: answer.prefill.report(at: rates),
                    decodeStep: answer.decode.report(at: rates, steps: decodeTokens)),
                kvBytes: answer.kvBytes, driftOfLogits: drifts?.logits[index])
        }
    }
}
