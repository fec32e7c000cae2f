import ArgumentParser
import Foundation
import LLaVAPipeline

/// `vlm assemble`: a model made of parts that lie elsewhere.
struct AssembleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "assemble",
        abstract: "Make a model of a vision tower, a connector and a decoder, each in any format that is read.",
        discussion: """
            The new directory holds model.json, which names the parts with their sizes and SHA-256, and the connector if
            it is a new one. The parts stay where they are; ask, chat, trace and inspect take the directory as a model.

            EXAMPLES
              vlm assemble --vision-tower vit_s.onnx --decoder SmolLM2.gguf --query-transformer 64 my-model
              vlm assemble --vision-tower clip/ --decoder vicuna/ --connector mm_projector.bin my-model
              vlm assemble --vision-tower vit_s.onnx --decoder SmolLM2.gguf --projector 2 \\
                           --set mm_vision_select_layer=-3 --set image_aspect_ratio=pad my-model
            """)

    @Option(help: ArgumentHelp("Directory or ONNX file of the vision tower.", valueName: "path"), completion: .file())
    var visionTower: String

    @Option(help: ArgumentHelp("Directory or GGUF file of the decoder.", valueName: "path"), completion: .file())
    var decoder: String

    @Option(
        help: ArgumentHelp("A trained query_abstractor or mm_projector file.", valueName: "file"), completion: .file())
    var connector: String?

    @Option(help: ArgumentHelp("A new query transformer of this many queries, to be trained.", valueName: "M"))
    var queryTransformer: Int?

    @Option(help: ArgumentHelp("A new projector of this many linear layers, to be trained.", valueName: "layers"))
    var projector: Int?

    @Option(help: ArgumentHelp("Start of the random weights of a new connector.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp(
            "A key of config.json, for example mm_vision_select_layer=-3. May be repeated.",
            valueName: "key=value"))
    var overrides: [String] = []

    @Argument(help: ArgumentHelp("The directory to make.", valueName: "directory"), completion: .directory)
    var out: String

    func validate() throws {
        guard [connector != nil, queryTransformer != nil, projector != nil].count(where: \.self) == 1 else {
            throw ValidationError("give one of --connector, --query-transformer and --projector")
        }
        try ConfigOverride.validate(overrides)
    }

    func run() throws {
        let source: AssembledModel.ConnectorSource =
            if let connector {
                .file(connector)
            } else if let queryTransformer {
                .queryTransformer(maximumTokens: queryTransformer, seed: seed)
            } else {
                .projector(layers: projector ?? 0, seed: seed)
            }
        let model = try AssembledModel.write(
            decoder: decoder, visionTower: visionTower, connector: source, config: ConfigOverride.parse(overrides),
            to: out)
        print(ModelReport(model).text)
        Terminal.note("wrote \(out)")
    }
}
