import ArgumentParser

/// `vlm bench`: how fast this machine runs a model.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure how fast a model runs on this machine.",
        discussion: """
            EXAMPLES
              vlm bench ask --visual-tokens 1,4,16,64
              vlm bench decoder --model DIR --prompt-tokens 512
              vlm bench kernels
              vlm bench encoder --vision-tower DIR --image a.jpg
              vlm bench quantization --model X.gguf --text book.txt
              vlm bench budget
            """,
        subcommands: [
            BenchAskCommand.self, BenchKernelsCommand.self, BenchEncoderCommand.self, BenchDecoderCommand.self,
            BenchQuantizationCommand.self, BenchBudgetCommand.self,
        ])
}
