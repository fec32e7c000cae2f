import ArgumentParser
import LLaVAPipeline
import Tensors

/// `vlm convert`: a checkpoint in another format or element type.
struct ConvertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Write a checkpoint in another format: safetensors, PyTorch (read only), GGUF, ONNX (read only).",
        discussion: """
            The target's name says the format: X.gguf gets the decoder with its tokenizer, which llama.cpp reads too;
            X.safetensors the tensors alone; any other name becomes a directory with all that belongs to the model.
            Matrices keep their type unless --type says otherwise; norms and biases stay as they are.

            EXAMPLES
              vlm convert SmolLM2.Q4_1.gguf smollm2/              # safetensors, float32
              vlm convert vicuna-7b/ vicuna-7b.gguf --type q4_0
              vlm convert vit_s.onnx vit_s/                       # a DINOv2 tower as Hugging Face stores it
              vlm convert pytorch_model.bin model.safetensors
              vlm convert dense/ routed/ --set mod_target_layers=shiftedcos_decay_0.85_0.15 \\
                          --set mod_target_token_type=vision_all    # routers at zero, to be trained
            """)

    @Option(
        help: ArgumentHelp("Type of the matrices: \(ElementType.words(CheckpointConversion.types)).", valueName: "type")
    )
    var type: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("Replace a value of config.json, from directory to directory.", valueName: "key=value"))
    var overrides: [String] = []

    @Argument(help: ArgumentHelp("A model's directory or a file of weights.", valueName: "source"))
    var source: String

    @Argument(help: ArgumentHelp("What to write; must not exist yet.", valueName: "target"))
    var target: String

    private var elementType: ElementType? {
        get throws { try type.map { try ElementType($0, among: CheckpointConversion.types, option: "--type") } }
    }

    func validate() throws {
        try ConfigOverride.validate(overrides)
        _ = try elementType
    }

    func run() throws {
        var bar = WeightsProgressBar()
        let conversion = try CheckpointConversion(
            source, to: target, as: try elementType, overrides: ConfigOverride.parse(overrides)
        ) { bar.show($0) }
        Terminal.note("wrote \(target): \(conversion.files.joined(separator: ", "))")
        if let refusal = conversion.refusal { Terminal.note(refusal) }
        if let first = conversion.leftOut.first {
            Terminal.note("left out \(conversion.leftOut.count) tensors that have no place there, such as \(first)")
        }
    }
}
