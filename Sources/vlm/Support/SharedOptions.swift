import ArgumentParser
import Foundation
import LanguageDecoder
import LLaVAPipeline
import Tensors

/// Which model, and on how many threads.
struct ModelOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The model, as downloaded (default: $VLM_MODEL).",
            discussion:
                "A directory in LLaVA's original layout (config.json, safetensors or pytorch_model*.bin, tokenizer.model), one that vlm assemble made, or a GGUF file of a LLaMA decoder, which answers without images.",
            valueName: "path"), completion: .file())
    var model: String?

    @Option(
        help: ArgumentHelp(
            "Directory or ONNX file of the vision tower, when the checkpoint does not hold it.", valueName: "path"),
        completion: .file())
    var visionTower: String?

    @Option(
        help: ArgumentHelp(
            "A query_abstractor.bin or mm_projector.bin (or a directory with one) to put between tower and decoder.",
            valueName: "path"), completion: .file())
    var adapter: String?

    @Option(help: ArgumentHelp("Directory of LoRA weights in PEFT's form.", valueName: "dir"), completion: .directory)
    var lora: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "Override a key of config.json, for example image_aspect_ratio=square. May be repeated.",
            valueName: "key=value"))
    var overrides: [String] = []

    @Option(
        help: ArgumentHelp(
            "Round weights to int8 or int4 when the model is loaded.",
            discussion:
                "Of the maps of vision tower and decoder alike, or of each as in encoder=int8,decoder=int4. Several times as fast, and a little off (vlm bench encoder says how far; q8_0 is slower than int8 for a tower and closer). Maps a file holds in blocks already stay as they are.",
            valueName: "type"))
    var quantize: String?

    @Option(help: ArgumentHelp("Threads to compute with (default: one for each processor).", valueName: "n"))
    var threads: Int?

    func validate() throws {
        _ = try quantization
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads \(threads) is outside 1...1024")
        }
        try ConfigOverride.validate(overrides)
    }

    /// Whether no option was given.
    var isEmpty: Bool {
        [model, visionTower, adapter, lora, quantize].allSatisfy { $0 == nil } && overrides.isEmpty && threads == nil
    }

    /// The model's directory, from the flag or the environment.
    func path() throws -> String {
        if let path = model ?? ProcessInfo.processInfo.environment["VLM_MODEL"], !path.isEmpty { return path }
        guard let demo = DemoModel.path else {
            throw UsageError.message("no model given; use --model DIR or set VLM_MODEL")
        }
        Terminal.note("no model given; using the small demo model in \(demo)")
        return demo
    }

    /// How to load it.
    var loadOptions: LoadOptions {
        var options = LoadOptions()
        options.visionTower = visionTower
        options.adapter = adapter
        options.lora = lora
        options.configOverrides = ConfigOverride.parse(overrides)
        options.quantization = (try? quantization) ?? Quantization()
        return options
    }

    /// What weights are rounded to.
    private var quantization: Quantization {
        get throws { try quantize.map(Quantization.init(parsing:)) ?? Quantization() }
    }

    /// Where to compute: with native products if weights are rounded for them.
    var context: ComputeContext {
        var context = ComputeContext(threads: threads)
        if !loadOptions.quantization.isEmpty { context.quantizedProducts = .native }
        return context
    }
}

extension Quantization {
    /// A type for both parts, or PART=TYPE for each, with commas between them.
    fileprivate init(parsing text: String) throws {
        func refusal(_ reason: String) -> ValidationError {
            ValidationError("--quantize \(text): \(reason); write a type, or for example encoder=int8,decoder=int4")
        }
        func type(_ word: Substring, of part: Substring) throws -> ElementType? {
            switch word {
            case "none": nil
            // Rows of a decoder hold values far larger than the rest, which one scale would drown.
            case "int8": part == "encoder" ? .int8 : .q8_0
            case "int4": .q4_0
            case "q8_0": .q8_0
            default:
                throw refusal("\(word.isEmpty ? "nothing" : String(word)) is no type; int8, int4, q8_0 and none are")
            }
        }
        self.init()
        var seen: Set<Substring> = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let names: [Substring] = parts.count == 1 ? ["encoder", "decoder"] : [parts[0]]
            for name in names {
                guard seen.insert(name).inserted else { throw refusal("\(name) is named twice") }
                switch name {
                case "encoder": encoder = try type(parts[parts.count - 1], of: name)
                case "decoder": decoder = try type(parts[parts.count - 1], of: name)
                default: throw refusal("there is no part \(name)")
                }
            }
        }
    }
}

/// How products with quantised weights are computed.
struct ProductOptions: ParsableArguments {
    @Flag(
        help: ArgumentHelp(
            "Compute with quantised weights in float32.",
            discussion:
                "By default what is multiplied with the quantised weights of a GGUF file is rounded to 8 bits, or to 16 where a norm lets values stand out, and what attention multiplies to 11 to 16 bits where the processor is faster with that: several times faster, and a little off."
        ))
    var exact = false

    /// Where to compute with a model.
    func context(_ model: ModelOptions) throws -> ComputeContext {
        if exact, !model.loadOptions.quantization.isEmpty {
            throw ValidationError(
                "--exact computes with weights as they are stored, and --quantize rounds them: give one")
        }
        var context = model.context
        context.quantizedProducts = exact ? .exact : .native
        return context
    }
}

/// The words KEY=VALUE of `--set`.
enum ConfigOverride {
    /// Throws for words that are not of this form.
    static func validate(_ words: [String]) throws {
        for text in words where !text.contains("=") {
            throw ValidationError("--set \(text): write KEY=VALUE")
        }
    }

    /// Keys and values, once validated.
    static func parse(_ words: [String]) -> [(key: String, value: String)] {
        words.map { text in
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (key: String(parts[0]), value: String(parts.count > 1 ? parts[1] : ""))
        }
    }
}

/// How long the answer may be and how its tokens are drawn.
struct SamplingFlags: ParsableArguments {
    @Option(help: ArgumentHelp("Longest answer in tokens.", valueName: "n"))
    var maxTokens = 256

    @Option(help: ArgumentHelp("Randomness; 0 always takes the most probable token.", valueName: "t"))
    var temperature: Float = 0

    @Option(
        help: ArgumentHelp("Draw from the most probable tokens that together have this probability.", valueName: "p"))
    var topP: Float = 1

    @Option(help: ArgumentHelp("Draw from this many of the most probable tokens.", valueName: "k"))
    var topK: Int?

    @Option(
        help: ArgumentHelp(
            "Start of the random sequence; the same seed gives the same answer.", valueName: "n"))
    var seed: UInt64 = 0

    func validate() throws {
        guard maxTokens >= 1 else { throw ValidationError("--max-tokens \(maxTokens): at least 1") }
        guard temperature.isFinite, temperature >= 0 else {
            throw ValidationError("--temperature \(temperature): a number from 0 up")
        }
        guard topP > 0, topP <= 1 else { throw ValidationError("--top-p \(topP): above 0, at most 1") }
        if let topK, topK < 1 { throw ValidationError("--top-k \(topK): at least 1") }
        if temperature == 0, topP != 1 || topK != nil {
            throw ValidationError("--top-p and --top-k choose among random draws; add --temperature above 0")
        }
    }

    var options: SamplingOptions {
        SamplingOptions(temperature: temperature, topP: topP, topK: topK, seed: seed)
    }
}

/// How the question is put into words the model was trained on.
struct TemplateOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Conversation template, for example vicuna_v1 or llava_v1 (default: chosen from the model, and reported).",
            valueName: "name"))
    var template: String?
}

/// An image on the command line, with a budget of its own.
struct ImageArgument: ExpressibleByArgument {
    /// Path, or "-" for standard input.
    var path: String
    /// Visual tokens from `path@m`.
    var visualTokens: Int?

    init?(argument: String) {
        path = argument
        guard let at = argument.lastIndex(of: "@"), !FileManager.default.fileExists(atPath: argument),
            let tokens = Int(argument[argument.index(after: at)...])
        else { return }
        path = String(argument[..<at])
        visualTokens = tokens
    }
}
