import ArgumentParser
import LLaVAPipeline
import Tensors

/// `vlm synth`: a model with random weights.
struct SynthCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "synth",
        abstract:
            "Make a model with random weights from its configuration: to train it, or to see what its shape costs.",
        discussion: """
            The configuration is a directory with config.json, perhaps tokenizer files, and perhaps vision_tower/ with
            files of its own. It is copied, and model.safetensors put beside each config.json. Where a query transformer
            is asked for, num_visual_tokens says how many queries it gets.

            EXAMPLES
              vlm synth recipes/demo-model/configuration --out runs/start --seed 1
              vlm train --recipe recipes/demo-model/tower.json --out runs/tower
            """)

    @Argument(help: ArgumentHelp("Directory of the configuration.", valueName: "dir"), completion: .directory)
    var configuration: String

    @Option(
        name: .shortAndLong, help: ArgumentHelp("Directory to make; must not exist yet.", valueName: "dir"),
        completion: .directory)
    var out: String

    @Option(help: ArgumentHelp("What the weights are drawn with; the same seed gives the same bytes.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(help: ArgumentHelp("What the matrices are written in: f32 or f16.", valueName: "type"))
    var type = "f32"

    @Flag(help: "Print one JSON object.")
    var json = false

    func validate() throws {
        guard ["f32", "f16"].contains(type) else { throw ValidationError("--type \(type): f32 or f16") }
    }

    func run() throws {
        var bar = WeightsProgressBar()
        let summary = try RandomModel.write(
            configuration: configuration, to: out, seed: seed, as: type == "f16" ? .float16 : .float32
        ) { bar.show($0) }
        if json { return try Terminal.json(summary) }
        for (file, count) in summary.weights.sorted(by: { $0.key < $1.key }) {
            print("\(out)/\(file): \(count) weights")
        }
    }
}
