import ArgumentParser

/// `vlm bench`: how fast this machine runs a model.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure how fast a model runs on this machine.",
        subcommands: [BenchDecoderCommand.self, BenchQuantizationCommand.self, BenchBudgetCommand.self])
}
