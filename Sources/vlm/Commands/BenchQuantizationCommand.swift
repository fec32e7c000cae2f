import ArgumentParser
import Foundation
import LanguageDecoder
import LLaVAPipeline
import NeuralNetwork
import Tensors
import Tokenization

/// `vlm bench quantization`: what native products with quantised weights cost in accuracy.
struct BenchQuantizationCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quantization",
        abstract: "Compare native with exact products of quantised weights on a text; print JSON.",
        discussion: """
            The text is cut into windows. Of every token but a window's first, -log of the probability the decoder gives it
            is averaged: once with exact products, once with native ones. perplexity_change is exp of the difference, minus
            1; same_best_token is the part of the tokens for which both find the same one most probable. These differences may have
            either sign and cancel: kl_divergence is the mean over tokens of that of native from exact probabilities, in
            nats, which cannot. A window of 40 tokens is what a short question takes.

            EXAMPLES
              vlm bench quantization --model SmolLM2.gguf --text book.txt --tokens 4096
            """)

    @OptionGroup var model: ModelOptions

    @Option(help: ArgumentHelp("A file of plain text.", valueName: "file"), completion: .file())
    var text: String

    @Option(help: ArgumentHelp("Tokens of the text to read.", valueName: "n"))
    var tokens = 2048

    @Option(help: ArgumentHelp("Tokens of a window.", valueName: "n"))
    var window = 512

    func validate() throws {
        guard tokens >= 2, window >= 2 else { throw ValidationError("--tokens and --window are at least 2") }
    }

    func run() throws {
        let path = try model.path()
        let loaded = try LLaVAModel.load(from: path, options: model.loadOptions)
        let tokenizer = try TokenizerFiles(loaded.tokenizerLocation).tokenizer
        let words = try String(contentsOfFile: text, encoding: .utf8)
        let ids = Array(tokenizer.encode(words, addingSpecialTokens: false).prefix(tokens))
        guard ids.count >= 2 else { throw UsageError.message("\(text) has \(ids.count) tokens, at least 2 are needed") }
        let sums = compared(ids, by: loaded.decoder, model.context)
        let count = Double(sums.tokens)
        let (a, b) = (sums.exactLoss / count, sums.nativeLoss / count)
        try Terminal.json(
            Report(
                model: path, tokens: sums.tokens, exactCrossEntropy: a, nativeCrossEntropy: b,
                crossEntropyChange: b / a - 1, perplexityChange: exp(b - a) - 1, klDivergence: sums.divergence / count,
                sameBestToken: Double(sums.sameBest) / count))
    }

    /// Sums over the tokens but the first of each window.
    private struct Sums {
        var tokens = 0
        /// -log of the probability of the token that follows.
        var exactLoss = 0.0, nativeLoss = 0.0
        /// Sum of p log(p / q), with p of exact and q of native products.
        var divergence = 0.0
        /// Tokens after which both find the same one most probable.
        var sameBest = 0
    }

    private func compared(_ ids: [Int], by decoder: LlamaModel, _ context: ComputeContext) -> Sums {
        var sums = Sums()
        let contexts = [QuantizedProducts.exact, .native].map { products in
            var context = context
            context.quantizedProducts = products
            return context
        }
        for start in stride(from: 0, to: ids.count - 1, by: window) {
            let part = Array(ids[start..<min(ids.count, start + window)])
            let states = contexts.map { context in
                context.run {
                    var cache = KVCache(decoder.config, capacity: part.count)
                    return decoder.hiddenStates(decoder.embedTokens(part), cache: &cache)
                }
            }
            // Logits a few rows at a time: all of them would take window x V floats.
            for first in stride(from: 0, to: part.count - 1, by: 64) {
                let end = min(part.count - 1, first + 64)
                let logits = zip(contexts, states).map { context, h in
                    context.run { decoder.logits(h[first..<end]).floats }
                }
                let width = logits[0].count / (end - first)
                for row in 0..<end - first {
                    let slice = row * width..<(row + 1) * width
                    add(logits[0][slice], logits[1][slice], next: part[first + row + 1], to: &sums)
                }
            }
        }
        return sums
    }

    /// Adds the token `next`, of which these are the logits.
    private func add(_ exact: ArraySlice<Float>, _ native: ArraySlice<Float>, next: Int, to sums: inout Sums) {
        func logSum(_ logits: ArraySlice<Float>, _ top: Float) -> Double {
            Double(top) + log(logits.reduce(0.0) { $0 + Double(expf($1 - top)) })
        }
        let (a, b) = (exact.max() ?? 0, native.max() ?? 0)
        let (aSum, bSum) = (logSum(exact, a), logSum(native, b))
        sums.tokens += 1
        sums.exactLoss += aSum - Double(exact[exact.startIndex + next])
        sums.nativeLoss += bSum - Double(native[native.startIndex + next])
        sums.divergence += zip(exact, native).reduce(0.0) { sum, pair in
            let p = Double(expf(pair.0 - Float(aSum)))
            return sum + p * (Double(pair.0) - aSum - Double(pair.1) + bSum)
        }
        sums.sameBest += exact.firstIndex(of: a) == native.firstIndex(of: b) ? 1 : 0
    }

    private struct Report: Encodable {
        var model: String
        var tokens: Int
        var exactCrossEntropy: Double
        var nativeCrossEntropy: Double
        var crossEntropyChange: Double
        var perplexityChange: Double
        /// Mean over tokens, in nats.
        var klDivergence: Double
        var sameBestToken: Double
    }
}
