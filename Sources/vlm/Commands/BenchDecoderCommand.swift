import ArgumentParser
import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors

/// `vlm bench decoder`: prompt and generation speed of a decoder.
struct BenchDecoderCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decoder",
        abstract: "Time a prompt of random tokens and the greedy tokens after it; print JSON.",
        discussion: """
            prefill ends with the logits of the last token, decode is one token at a time after that. Beside them stand the
            rates of this process on the same threads at the same time: float32 multiply-adds within the L1 cache
            (float32_gflops), and reading of a large array (read_gigabytes_per_second).

            With --visual-tokens the prompt begins with so many tokens that a mixture of depths may skip, and the same prompt
            is timed alternately with none of them skipped, as a dense decoder of the same shape reads it
            (prefill_without_skipping; prefill_ratio is the median of their ratios).

            EXAMPLES
              vlm bench decoder --model SmolLM2.gguf --prompt-tokens 512 --decode-tokens 128 --threads 2
              vlm bench decoder --model p-MoD-LLaVA-v1.5-7B --visual-tokens 576 --prompt-tokens 640
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var products: ProductOptions

    @Option(help: ArgumentHelp("Tokens of the prompt.", valueName: "n"))
    var promptTokens = 512

    @Option(help: ArgumentHelp("Tokens of the prompt that a mixture of depths may skip.", valueName: "n"))
    var visualTokens = 0

    @Option(help: ArgumentHelp("Tokens to decode after it.", valueName: "n"))
    var decodeTokens = 128

    @Option(
        help: ArgumentHelp("Measurements, of which the median is printed; one more comes before them.", valueName: "n"))
    var repeats = 3

    func validate() throws {
        guard promptTokens >= 1, decodeTokens >= 1, repeats >= 1 else {
            throw ValidationError("--prompt-tokens, --decode-tokens and --repeats are at least 1")
        }
        guard (0..<promptTokens).contains(visualTokens) else {
            throw ValidationError("--visual-tokens \(visualTokens): fewer than the prompt's \(promptTokens) tokens")
        }
    }

    func run() throws {
        try products.context(model).run {
            let path = try model.path()
            let loaded = try LLaVAModel.load(from: path, options: model.loadOptions)
            let decoder = loaded.decoder
            if visualTokens > 0, loaded.config.pmod == nil {
                throw UsageError.message("--visual-tokens is about a mixture of depths, and \(path) has none")
            }
            var runs: [DecoderTimes] = []
            var dense: [DecoderTimes] = []
            var machine: [MachineRates] = []
            for _ in 0...repeats {
                machine.append(.measured())
                runs.append(
                    try DecoderTimes(
                        of: decoder, promptTokens: promptTokens, visualTokens: visualTokens, decodeTokens: decodeTokens)
                )
                guard visualTokens > 0 else { continue }
                dense.append(try DecoderTimes(of: decoder, promptTokens: promptTokens, decodeTokens: 1))
            }
            let report = DecoderReport(
                path: path, config: decoder.config, weightBytes: try weightBytes(path),
                promptTokens: promptTokens, decodeTokens: decodeTokens, runs: Array(runs.dropFirst()),
                dense: Array(dense.dropFirst()), machine: Array(machine.dropFirst()))
            try Terminal.json(report)
        }
    }

    /// Bytes of the matrices that a token is multiplied with, as the file stores them; nil unless it is a GGUF file.
    private func weightBytes(_ path: String) throws -> Int? {
        guard path.hasSuffix(".gguf") else { return nil }
        let tensors = try GGUFFile(path: path).tensors
        return tensors.filter { name, tensor in
            tensor.rank == 2 && (name != "token_embd.weight" || tensors["output.weight"] == nil)
        }.values.map(\.byteCount).reduce(0, +)
    }
}

/// One measurement.
private struct DecoderTimes {
    var prefill: Duration
    var decode: Duration

    init(of decoder: LlamaModel, promptTokens: Int, visualTokens: Int = 0, decodeTokens: Int) throws {
        // Any tokens will do: none costs more than another.
        let ids = (0..<promptTokens).map { ($0 * 7919 + 13) % decoder.config.vocabSize }
        let clock = ContinuousClock()
        let start = clock.now
        var generation = try Generation(
            decoder,
            MultimodalPrompt(
                inputsEmbeds: decoder.embedTokens(ids),
                skippable: visualTokens == 0 ? nil : (0..<promptTokens).map { $0 < visualTokens }),
            sampling: SamplingOptions(),
            maximumTokens: decodeTokens + 1, endTokens: [])
        _ = generation.next()
        let middle = clock.now
        while generation.next() != nil {}
        prefill = middle - start
        decode = clock.now - middle
    }
}

private struct DecoderReport: Encodable {
    struct Stage: Encodable {
        var tokens: Int
        var milliseconds: Double
        var tokensPerSecond: Double
        var gflops: Double
        var ofFloat32Peak: Double
        var weightGigabytesPerSecond: Double?
        var ofReadRate: Double?
    }

    var model: String
    var threads: Int
    var kernels: String
    var products: String
    var float32Gflops: Double
    var readGigabytesPerSecond: Double
    var prefill: Stage
    var prefillWithoutSkipping: Stage?
    /// Time of the prompt as the model reads it to that without skipping.
    var prefillRatio: Double?
    var decode: Stage

    init(
        path: String, config: LlamaConfig, weightBytes: Int?, promptTokens: Int, decodeTokens: Int,
        runs: [DecoderTimes], dense: [DecoderTimes], machine: [MachineRates]
    ) {
        let context = ComputeContext.current
        let rates = (flops: machine.map(\.flops).median, bytes: machine.map(\.bytes).median)
        let keyValueSize = config.numKeyValueHeads * config.headSize
        let matrices =
            config.numHiddenLayers
            * config.hiddenSize * (2 * config.hiddenSize + 2 * keyValueSize + 3 * config.intermediateSize)
        let head = config.hiddenSize * config.vocabSize
        // Scores and their sums of values: 4 operations for each element of a query and each key it sees.
        func attention(keys: Int) -> Int { 4 * config.numHiddenLayers * config.hiddenSize * keys }
        func stage(_ tokens: Int, _ seconds: Double, operations: Int, passes: Int) -> Stage {
            let rate = Double(operations) / seconds
            let read = weightBytes.map { Double($0 * passes) / seconds }
            return Stage(
                tokens: tokens, milliseconds: (seconds * 1000).rounded(2),
                tokensPerSecond: (Double(tokens) / seconds).rounded(2), gflops: (rate * 1e-9).rounded(2),
                ofFloat32Peak: (rate / rates.flops).rounded(4),
                weightGigabytesPerSecond: read.map { ($0 * 1e-9).rounded(2) },
                ofReadRate: read.map { ($0 / rates.bytes).rounded(4) })
        }
        model = path
        threads = context.pool.threadCount
        kernels = context.kernels.name
        products = context.quantizedProducts.rawValue
        float32Gflops = (rates.flops * 1e-9).rounded(2)
        readGigabytesPerSecond = (rates.bytes * 1e-9).rounded(2)
        // Of a dense decoder: what a mixture of depths skips is counted as if it were done.
        func prefill(_ runs: [DecoderTimes]) -> Stage {
            stage(
                promptTokens, runs.map(\.prefill.milliseconds).median / 1000,
                operations: 2 * (matrices * promptTokens + head)
                    + attention(keys: promptTokens * (promptTokens + 1) / 2),
                passes: 1)
        }
        self.prefill = prefill(runs)
        if !dense.isEmpty {
            prefillWithoutSkipping = prefill(dense)
            prefillRatio = zip(runs, dense).map { $0.prefill / $1.prefill }.median.rounded(4)
        }
        decode = stage(
            decodeTokens, runs.map(\.decode.milliseconds).median / 1000,
            operations: 2 * (matrices + head) * decodeTokens
                + attention(keys: decodeTokens * promptTokens + decodeTokens * (decodeTokens + 1) / 2),
            passes: decodeTokens)
    }
}
