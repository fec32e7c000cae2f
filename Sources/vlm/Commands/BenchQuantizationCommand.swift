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
            1; same_best_token is the part of the tokens for which both find the same one most probable.

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
        var context = model.context
        context.quantizedProducts = .exact
        let exact = context.run { predictions(of: ids, by: loaded.decoder) }
        context.quantizedProducts = .native
        let native = context.run { predictions(of: ids, by: loaded.decoder) }
        let (a, b) = (exact.loss / Double(exact.best.count), native.loss / Double(native.best.count))
        let same = zip(exact.best, native.best).filter { $0 == $1 }.count
        try Terminal.json(
            Report(
                model: path, tokens: exact.best.count, exactCrossEntropy: a, nativeCrossEntropy: b,
                crossEntropyChange: b / a - 1, perplexityChange: exp(b - a) - 1,
                sameBestToken: Double(same) / Double(exact.best.count)))
    }

    /// The sum of -log probability of every token but the first of each window, and the most probable token of each.
    private func predictions(of ids: [Int], by decoder: LlamaModel) -> (loss: Double, best: [Int]) {
        var (loss, best): (Double, [Int]) = (0, [])
        for start in stride(from: 0, to: ids.count - 1, by: window) {
            let part = Array(ids[start..<min(ids.count, start + window)])
            var cache = KVCache(decoder.config, capacity: part.count)
            let h = decoder.hiddenStates(decoder.embedTokens(part), cache: &cache)
            // Logits a few rows at a time: all of them would take window x V floats.
            for first in stride(from: 0, to: part.count - 1, by: 64) {
                let end = min(part.count - 1, first + 64)
                let logits = decoder.logits(h[first..<end])
                loss += Double(crossEntropy(logits, targets: Array(part[first + 1..<end + 1])).floats[0])
                var sampler = Sampler(SamplingOptions())
                best += (0..<end - first).map { sampler.next(logits[$0..<$0 + 1]) }
            }
        }
        return (loss, best)
    }

    private struct Report: Encodable {
        var model: String
        var tokens: Int
        var exactCrossEntropy: Double
        var nativeCrossEntropy: Double
        var crossEntropyChange: Double
        var perplexityChange: Double
        var sameBestToken: Double
    }
}
