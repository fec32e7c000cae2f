import LanguageDecoder
import LLaVAPipeline
import Tensors
import Tokenization
import VisionEncoder

/// What `--json` says about one answer: the answer, the sizes, and where the time went.
struct AnswerReport: Encodable {
    struct Image: Encodable {
        var source: String
        var format: String
        var width: Int
        var height: Int
        var exifOrientation: Int?
        var isOrientationApplied: Bool
        var views: Int
        var visualTokens: Int
    }

    struct Milliseconds: Encodable {
        var load: Double
        var imageDecode: Double
        var preprocess: Double
        var encode: Double
        var queryTransformer: Double
        var prefill: Double
        var decodePerToken: Double?
        var timeToFirstToken: Double

        init(_ timings: StageTimings) {
            func rounded(_ duration: Duration) -> Double { (duration.milliseconds * 1000).rounded() / 1000 }
            load = rounded(timings.load)
            imageDecode = rounded(timings.imageDecode)
            preprocess = rounded(timings.preprocess)
            encode = rounded(timings.encode)
            queryTransformer = rounded(timings.queryTransformer)
            prefill = rounded(timings.prefill)
            decodePerToken = timings.decodeSteps == 0 ? nil : rounded(timings.decode / timings.decodeSteps)
            timeToFirstToken = rounded(timings.timeToFirstToken)
        }
    }

    var model: String
    var isUntrained: Bool
    var layout: String
    var quantization: String
    var template: String
    var preprocessing: String?
    var question: String
    var answer: String
    var stopReason: String
    var images: [Image]
    /// How the number of visual tokens was chosen; nil unless for a time.
    var budget: BudgetReport?
    var promptTokens: Int
    var answerTokens: Int
    var milliseconds: Milliseconds
    var kvBytesUsed: Int
    var kvBytesAllocated: Int
    var peakRssBytes: Int
    var threads: Int
    var kernels: String
    /// "exact" or "native": how products with quantised weights were computed.
    var quantizedProducts: String
    var seed: UInt64

    init(
        _ assistant: Assistant, question: String, answer: String, visual: [ImageOptions.Visual],
        prompt: MultimodalPrompt, generation: borrowing Generation, timings: StageTimings,
        budget: BudgetReport?, seed: UInt64
    ) {
        self.budget = budget
        let context = ComputeContext.current
        model = assistant.model.path
        isUntrained = assistant.model.config.isUntrained
        layout = "\(assistant.model.layout)"
        template = assistant.template.template.name
        preprocessing = assistant.model.vision?.imageProcessing.description
        self.question = question
        self.answer = answer
        stopReason = (generation.stopReason ?? .endOfText).rawValue
        images = visual.map {
            Image(
                source: $0.source, format: $0.information.format.rawValue, width: $0.image.originalSize.width,
                height: $0.image.originalSize.height, exifOrientation: $0.information.exifOrientation?.rawValue,
                isOrientationApplied: $0.information.isOrientationApplied, views: $0.image.pixelValues.shape[0],
                visualTokens: $0.tokens.count)
        }
        promptTokens = prompt.count
        answerTokens = generation.tokens.count
        milliseconds = Milliseconds(timings)
        kvBytesUsed = generation.cache.usedBytes
        kvBytesAllocated = generation.cache.allocatedBytes
        peakRssBytes = ProcessMemory.peakBytes
        threads = context.pool.threadCount
        kernels = context.kernels.name
        quantizedProducts = context.quantizedProducts.rawValue
        quantization = assistant.model.quantization.words ?? "none"
        self.seed = seed
    }
}

extension ImageProcessing {
    /// The mode as config.json spells it.
    var description: String {
        switch self {
        case .square: "square"
        case .pad: "pad"
        case .anyResolution(let pinpoints): "anyres (\(pinpoints.count) resolutions)"
        }
    }
}
