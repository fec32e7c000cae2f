import ArgumentParser
import Foundation
import Tensors

/// The root of the command line.
@main
struct VLMCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vlm",
        abstract: "Ask questions about images, at any budget of visual tokens, on an ordinary CPU.",
        discussion: """
            The answer alone goes to standard output; notes, progress and timings go to standard error.
            Exit codes: 0 done, 1 failed, 2 bad usage or a budget the model cannot honour, 130 interrupted.
            The fastest kernels of the processor are used; VLM_ISA=avx2 or VLM_ISA=portable takes slower ones.

            EXAMPLES
              vlm ask --model DIR --image photo.jpg "what is on the table?"
              vlm ask --model DIR --image photo.jpg --visual-tokens 16 --json "how many cups?"
              vlm chat --model DIR
              vlm sweep --model DIR --data scenes --out report
              vlm inspect DIR
            """,
        subcommands: [
            AskCommand.self, ChatCommand.self, InspectCommand.self, TraceCommand.self, AssembleCommand.self,
            ConvertCommand.self, QuantizeCommand.self, SynthCommand.self, TokenizeCommand.self, DataCommand.self,
            TrainCommand.self,
            CurvesCommand.self, SweepCommand.self, EvalCommand.self, BenchCommand.self, CompletionsCommand.self,
            ManualCommand.self,
        ])

    static func main() {
        do {
            var command = try parseAsRoot()
            try checkKernels()
            try command.run()
        } catch {
            finish(with: error)
        }
    }

    /// Refuses a set of kernels that this processor has not, which would be passed over in silence.
    private static func checkKernels() throws {
        let names = KernelSet.available.map(\.name)
        guard let name = KernelSet.wantedName, !names.contains(name) else { return }
        throw ValidationError("\(KernelSet.variable)=\(name): this processor has \(names.joined(separator: ", "))")
    }

    /// Prints what went wrong (or the help that was asked for) and ends with the exit code of the design.
    private static func finish(with error: any Error) -> Never {
        if let status = ExitStatus(error) {
            Terminal.note("error: \(error)")
            Foundation.exit(status.rawValue)
        }
        let code = exitCode(for: error)
        let message = fullMessage(for: error)
        if code == .success {
            print(message)
            Foundation.exit(0)
        }
        if !message.isEmpty { Terminal.note(message) }
        Foundation.exit(code == .validationFailure ? ExitStatus.usage.rawValue : code.rawValue)
    }
}
