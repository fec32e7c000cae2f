import ArgumentParser
import Foundation
import LanguageDecoder
import LLaVAPipeline
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
            (float32_gflops), and reading of a large array (read_gigabytes_per_second); of_peak and of_read_rate are the
            parts of a stage's time that its operations and its reading would take at these rates, integers of 16
            bits at twice the first and those of 8 at four times. allocated_bytes are those of a prompt or of a token, drift_of_logits is that of the
            prompt's last token against exact products.

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

    @Flag(help: "Read weights in blocks where they lie, as a short answer does, instead of packing them at once.")
    var inPlace = false

    func validate() throws {
        guard promptTokens >= 1, decodeTokens >= 1, repeats >= 1 else {
            throw ValidationError("--prompt-tokens, --decode-tokens and --repeats are at least 1")
        }
        guard (0..<promptTokens).contains(visualTokens) else {
            throw ValidationError("--visual-tokens \(visualTokens): fewer than the prompt's \(promptTokens) tokens")
        }
    }

    func run() throws {
        var context = try products.context(model)
        context.operations = OperationCounter()
        context.packing = inPlace ? .never : .atOnce
        try context.run { try Terminal.json(report()) }
    }

    private func report() throws -> DecoderReport {
        let path = try model.path()
        let loaded = try LLaVAModel.load(from: path, options: model.loadOptions)
        if visualTokens > 0, loaded.config.pmod == nil {
            throw UsageError.message("--visual-tokens is about a mixture of depths, and \(path) has none")
        }
        func made(visualTokens: Int, decodeTokens: Int) -> DecoderRun {
            DecoderRun(
                AnyPrompt(
                    decoder: loaded.decoder, tokens: promptTokens, visualTokens: visualTokens,
                    decodeTokens: decodeTokens))
        }
        var run = made(visualTokens: visualTokens, decodeTokens: decodeTokens)
        var dense = made(visualTokens: 0, decodeTokens: 1)
        var machine: [MachineRates] = []
        for round in 0...repeats {
            machine.append(.measured())
            try run.measure(keepingLogits: round == 0)
            if visualTokens > 0 { try dense.measure() }
        }
        return try DecoderReport(
            path: path, run.warm, dense: visualTokens > 0 ? dense.warm : nil, machine: machine[1...].median,
            drift: products.exact ? nil : run.drift())
    }
}

/// A prompt of any tokens: none costs more than another.
private struct AnyPrompt {
    let decoder: LlamaModel
    let tokens: Int
    let visualTokens: Int
    let decodeTokens: Int

    /// A generation that has drawn its first token.
    func firstToken(keepingLogits: Bool = false) throws -> Generation {
        let ids = (0..<tokens).map { ($0 * 7919 + 13) % decoder.config.vocabSize }
        var generation = try Generation(
            decoder,
            MultimodalPrompt(
                inputsEmbeds: decoder.embedTokens(ids),
                skippable: visualTokens == 0 ? nil : (0..<tokens).map { $0 < visualTokens }),
            sampling: SamplingOptions(), maximumTokens: decodeTokens + 1, endTokens: [], keepsLogits: keepingLogits)
        _ = generation.next()
        return generation
    }
}

/// Measurements of a prompt and the tokens after it.
private struct DecoderRun {
    let prompt: AnyPrompt
    private(set) var prefill = StageMeter()
    private(set) var decode = StageMeter()
    private var logits: Tensor?

    init(_ prompt: AnyPrompt) { self.prompt = prompt }

    /// Measures once.
    mutating func measure(keepingLogits: Bool = false) throws {
        var generation = try prefill.measure { try prompt.firstToken(keepingLogits: keepingLogits) }
        if keepingLogits { logits = generation.logits.first }
        decode.measure { while generation.next() != nil {} }
    }

    /// The run without its first measurement, which made what is kept.
    var warm: DecoderRun {
        var run = self
        run.prefill.dropFirst()
        run.decode.dropFirst()
        return run
    }

    /// The drift of the first measurement from exact products.
    func drift() throws -> LogitDrift? {
        var context = ComputeContext.current
        context.quantizedProducts = .exact
        let exact = try context.run { try prompt.firstToken(keepingLogits: true).logits.first }
        guard let logits, let exact else { return nil }
        return LogitDrift(of: logits, from: exact)
    }
}

private struct DecoderReport: Encodable {
    struct Stage: Encodable {
        var tokens: Int
        var milliseconds: Double
        var tokensPerSecond: Double
        var gflops: Double
        var ofFloat32Peak: Double
        var ofPeak: Double
        var gigabytesPerSecond: Double
        var ofReadRate: Double
        /// Of a prompt, or of a token after it.
        var allocatedBytes: Int

        init(_ meter: StageMeter, tokens: Int, steps: Int, _ rates: MachineRates) {
            let (seconds, work) = (meter.milliseconds.median / 1000, meter.work)
            let rate = Double(work.operations) / seconds
            self.tokens = tokens
            milliseconds = (seconds * 1000).rounded(2)
            tokensPerSecond = (Double(tokens) / seconds).rounded(2)
            gflops = (rate * 1e-9).rounded(2)
            ofFloat32Peak = (rate / rates.flops).rounded(4)
            ofPeak = (work.computingSeconds(at: rates) / seconds).rounded(4)
            gigabytesPerSecond = (Double(work.bytesRead) / seconds * 1e-9).rounded(2)
            ofReadRate = (work.readingSeconds(at: rates) / seconds).rounded(4)
            allocatedBytes = work.allocatedBytes / steps
        }
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
    var driftOfLogits: LogitDrift?

    init(path: String, _ run: DecoderRun, dense: DecoderRun?, machine rates: MachineRates, drift: LogitDrift?) {
        let context = ComputeContext.current
        model = path
        threads = context.pool.threadCount
        kernels = context.kernels.name
        products = context.quantizedProducts.rawValue
        float32Gflops = (rates.flops * 1e-9).rounded(2)
        readGigabytesPerSecond = (rates.bytes * 1e-9).rounded(2)
        prefill = Stage(run.prefill, tokens: run.prompt.tokens, steps: 1, rates)
        decode = Stage(run.decode, tokens: run.prompt.decodeTokens, steps: run.prompt.decodeTokens, rates)
        driftOfLogits = drift
        guard let dense else { return }
        prefillWithoutSkipping = Stage(dense.prefill, tokens: run.prompt.tokens, steps: 1, rates)
        prefillRatio = zip(run.prefill.milliseconds, dense.prefill.milliseconds).map { $0 / $1 }.median.rounded(4)
    }
}
