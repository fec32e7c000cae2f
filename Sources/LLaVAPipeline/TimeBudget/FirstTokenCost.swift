import LanguageDecoder
import MQT
import Tensors
import VisionEncoder

/// How long it takes on this machine from the features of images to the first token of an answer, by the number of visual
/// tokens: measured once for a model, and enough to choose a number that fits into a time.
///
/// Between the measured numbers time is taken to be straight, beyond them it goes on as between the last two. A text token
/// costs the same at any place.
public struct FirstTokenCost: Sendable, Equatable, Codable {
    /// The time with a number of visual tokens.
    public struct Sample: Sendable, Equatable, Codable {
        /// Visual tokens of the prompt.
        public var visualTokens: Int
        /// Seconds from features to the first token, with `measuredTextTokens` tokens of text.
        public var seconds: Double
    }

    /// Text tokens of the prompts that samples are measured with.
    public static let measuredTextTokens = 32

    /// Measured times, by ascending numbers of visual tokens; more tokens never take less time.
    public let samples: [Sample]
    /// What a token of text more costs.
    public let secondsPerTextToken: Double

    /// A cost of measured samples, of which there is at least one; a time that is shorter than one for fewer tokens is
    /// taken for noise.
    public init(samples: [Sample], secondsPerTextToken: Double) {
        var slowest = 0.0
        self.samples = samples.sorted { $0.visualTokens < $1.visualTokens }.map { sample in
            slowest = max(slowest, sample.seconds)
            return Sample(visualTokens: sample.visualTokens, seconds: slowest)
        }
        self.secondsPerTextToken = max(0, secondsPerTextToken)
    }

    /// Predicted seconds from features to the first token.
    /// - Parameters:
    ///   - visualTokens: visual tokens of all images together.
    ///   - textTokens: the other tokens of the prompt.
    public func seconds(visualTokens: Int, textTokens: Int) -> Double {
        let text = Double(textTokens - Self.measuredTextTokens) * secondsPerTextToken
        guard samples.count > 1 else { return max(0, (samples.first?.seconds ?? 0) + text) }
        let after = samples.firstIndex { $0.visualTokens >= visualTokens } ?? samples.count - 1
        let (a, b) = (samples[max(1, after) - 1], samples[max(1, after)])
        let slope = (b.seconds - a.seconds) / Double(b.visualTokens - a.visualTokens)
        return max(0, a.seconds + slope * Double(visualTokens - a.visualTokens) + text)
    }

    /// The largest number of visual tokens of each view with which the first token is predicted to come in time.
    /// - Parameters:
    ///   - seconds: how long there is, from features on.
    ///   - maximum: the model's largest number, M.
    ///   - views: views of all images whose number is to be chosen.
    ///   - fixedTokens: visual tokens of images whose number is not.
    /// - Returns: nil if even one token takes longer.
    public func largestBudget(
        within seconds: Double, maximum: Int, views: Int, fixedTokens: Int, textTokens: Int
    ) -> Int? {
        (1...maximum).last {
            self.seconds(visualTokens: fixedTokens + views * $0, textTokens: textTokens) <= seconds
        }
    }
}

extension FirstTokenCost {
    /// Measures a model in the current context: takes about as long as a dozen answers.
    ///
    /// Numbers of visual tokens are 1 and M / 16, M / 8 ... M; each time is the median of several, or the only one if it
    /// takes long.
    /// - Throws: `VisualTokenBudgetError.notElastic` for a model whose number of visual tokens is fixed.
    public static func measured(_ model: LLaVAModel) throws -> FirstTokenCost {
        guard let maximum = model.maximumVisualTokens, let vision = model.vision else {
            throw VisualTokenBudgetError.notElastic(model: model.path)
        }
        let size = vision.imageProcessor.cropSize
        let gray = RGBImage(
            width: size.width, height: size.height,
            pixels: Array(repeating: 127, count: 3 * size.width * size.height))
        let features = try model.encode(model.process(gray))
        func seconds(_ tokens: Int, text: Int) throws -> Double {
            let budget = try model.budget(tokens)
            return try median {
                let visual = try model.visualTokens(from: features, budget: budget)
                // Any tokens will do: none costs more than another.
                let words = (0..<text).map { ($0 * 7919 + 13) % model.config.llama.vocabSize }
                let prompt = try model.prompt([MultimodalPrompt.imageToken] + words, images: [visual])
                var generation = try Generation(
                    model.decoder, prompt, sampling: SamplingOptions(), maximumTokens: 1, endTokens: [])
                _ = generation.next()
            }
        }
        let text = measuredTextTokens
        _ = try seconds(1, text: text)  // what is made at first use
        let numbers = Set([1] + [16, 8, 4, 2, 1].map { max(1, maximum / $0) }).sorted()
        let room = model.config.llama.maxPositionEmbeddings - 2 * text
        let samples = try numbers.filter { $0 == 1 || $0 < room }
            .map { Sample(visualTokens: $0, seconds: try seconds($0, text: text)) }
        let longer = try seconds(1, text: 2 * text)
        return FirstTokenCost(
            samples: samples, secondsPerTextToken: (longer - (samples.first?.seconds ?? 0)) / Double(text))
    }

    /// The median time of some runs in seconds: as many as fit into a third of a second, 1 to 9.
    private static func median(_ body: () throws -> Void) rethrows -> Double {
        let clock = ContinuousClock()
        var times: [Double] = []
        while times.count < 9, times.isEmpty || times.reduce(0, +) < 0.33 {
            times.append(try clock.measure(body).milliseconds / 1000)
        }
        return times.sorted()[times.count / 2]
    }
}
