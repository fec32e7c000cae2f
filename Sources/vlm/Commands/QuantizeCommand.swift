import ArgumentParser
import Foundation
import LLaVAPipeline
import ModelFiles
import Tensors

/// `vlm quantize`: a model written again in fewer bits.
struct QuantizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quantize",
        abstract: "Write a model again with its weights rounded to blocks of 4, 5, 6 or 8 bits.",
        discussion: """
            A model that sees (LLaVA, MQT-LLaVA, p-MoD, or one that vlm assemble made) becomes a
            directory that holds all of it: decoder.gguf, vision_tower/, connector.safetensors, and
            a model.json that names them. Every command takes the directory as a model. A decoder
            alone, or OUT.gguf of any model, becomes one GGUF file. llama.cpp reads these files too,
            but refuses those of a mixture of depths, which it would run without its routers.

            --type is for the matrices of the decoder's layers. What a type takes and loses, of
            weights that are normally distributed:

              q8_0  8.5 bits, off by 0.5 %      q5_0  5.5 bits, off by 4.3 %
              q6_k  6.6 bits, off by 1.7 %      q4_k  4.5 bits, off by 6.9 %
              q5_k  5.5 bits, off by 3.4 %      q4_1  5.0 bits, off by 7.7 %
              q5_1  6.0 bits, off by 3.7 %      q4_0  4.5 bits, off by 8.6 %

            The k types need rows that are multiples of 256; where they are not, q5_0, q5_1 and q8_0
            stand in for q4_k, q5_k and q6_k. int8 and int4 mean q8_0 and q4_0, as in --quantize of
            other commands, which rounds when a model is loaded and writes nothing.

            What was written is read back and compared with the source: the error that is printed
            is measured. Weights are converted one by one, so a model may be larger than memory.

            EXAMPLES
              vlm quantize p-MoD-LLaVA-v1.5-7B p-mod.q4_k --type q4_k       # a directory
              vlm ask --model p-mod.q4_k --image kitchen.jpg "how many cups?"
              vlm quantize MQT-LLaVA-7b mqt.q8_0 --type q8_0 --encoder q8_0 --template llava_v1
              vlm quantize vicuna-7b vicuna-7b.q4_k.gguf --type q4_k        # for llama.cpp too
              vlm quantize SmolLM2.f16.gguf SmolLM2.q4_1.gguf --type q4_1 --embeddings q8_0
            """)

    /// Names for the types that `--quantize` calls so.
    private static let aliases = ["int8": "q8_0", "int4": "q4_0"]

    @Option(
        help: ArgumentHelp(
            "Type of the decoder's matrices: \(ElementType.words(ElementType.writable)).", valueName: "type"))
    var type: String

    @Option(
        help: ArgumentHelp(
            "Type of the token embeddings and the output head.",
            discussion:
                "Unless given, q6_k where --type has fewer bits, as llama.cpp's quantiser does, or else the same.",
            valueName: "type"))
    var embeddings: String?

    @Option(
        help: ArgumentHelp(
            "Type of the vision tower's maps, or stored (default).",
            discussion:
                "The same types. What is fastest is --encoder f16 here and --quantize encoder=int8 where it is used.",
            valueName: "type"))
    var encoder: String?

    @Option(
        help: ArgumentHelp(
            "Directory or ONNX file of the vision tower, when the model does not hold it.", valueName: "path"),
        completion: .file())
    var visionTower: String?

    @Option(
        help: ArgumentHelp(
            "A query_abstractor.bin or mm_projector.bin to put between tower and decoder.", valueName: "path"),
        completion: .file())
    var adapter: String?

    @Option(help: ArgumentHelp("Directory of LoRA weights in PEFT's form.", valueName: "dir"), completion: .directory)
    var lora: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("Override a key of config.json. May be repeated.", valueName: "key=value"))
    var overrides: [String] = []

    @Option(
        help: ArgumentHelp(
            "Conversation template to record (default: that of the model; its name, which may tell, changes).",
            valueName: "name"))
    var template: String?

    @Option(help: ArgumentHelp("Threads to compute with (default: one for each processor).", valueName: "n"))
    var threads: Int?

    @Flag(help: "Print one JSON object.")
    var json = false

    @Argument(
        help: ArgumentHelp("The model: a directory, or a file of weights.", valueName: "model"), completion: .file())
    var model: String

    @Argument(
        help: ArgumentHelp("What to write, a directory or NAME.gguf; must not exist yet.", valueName: "out"),
        completion: .file())
    var out: String

    private var types: ModelQuantization.Types {
        get throws {
            func parse(_ word: String, _ option: String) throws -> ElementType {
                try ElementType(Self.aliases[word.lowercased()] ?? word, among: ElementType.writable, option: option)
            }
            let tower = try encoder.flatMap { $0 == "stored" ? nil : try parse($0, "--encoder") }
            return ModelQuantization.Types(
                decoder: DecoderTypes(
                    maps: try parse(type, "--type"), words: try embeddings.map { try parse($0, "--embeddings") }),
                encoder: tower)
        }
    }

    func validate() throws {
        _ = try types
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads \(threads) is outside 1...1024")
        }
        try ConfigOverride.validate(overrides)
    }

    func run() throws {
        var options = LoadOptions()
        options.visionTower = visionTower
        options.adapter = adapter
        options.lora = lora
        options.configOverrides = ConfigOverride.parse(overrides)
        let types = try types
        var bar = WeightsProgressBar()
        let written = try ComputeContext(threads: threads).run {
            try ModelQuantization(model, to: out, as: types, options: options, template: template) { bar.show($0) }
        }
        for note in written.notes { Terminal.note(note) }
        Terminal.note("wrote \(out)")
        if json { return try Terminal.json(Report(files: written.files, notes: written.notes)) }
        for file in written.files { print(Self.line(file)) }
    }

    private struct Report: Encodable {
        var files: [WrittenFile]
        var notes: [String]
    }

    private static func line(_ file: WrittenFile) -> String {
        let shares = file.shares.map { share in
            let error = share.relativeError == 0 ? "" : String(format: " (off by %.2g %%)", share.relativeError * 100)
            return "\(share.tensors) tensors \(share.type)\(error)"
        }
        let size = ByteCountFormatter.string(fromByteCount: Int64(file.bytes), countStyle: .file)
        return "\(file.name): \(size), \(shares.joined(separator: ", "))"
    }
}
