import ArgumentParser
import Evaluation
import LLaVAPipeline
import MQT

/// The exit codes of the design.
enum ExitStatus: Int32 {
    case failed = 1
    case usage = 2
    case interrupted = 130

    /// The code for an error of ours; nil for those that the argument parser explains itself.
    init?(_ error: any Error) {
        switch error {
        case is VisualTokenBudgetError, is UsageError: self = .usage
        case let error as EvaluationError: self = error.isUsageError ? .usage : .failed
        case let error as LLaVAError: self = error.isUsageError ? .usage : .failed
        case is ExitCode, is CleanExit, is ValidationError: return nil
        default:
            // The parser's own errors are not public; all of them describe themselves through its message.
            guard VLMCommand.exitCode(for: error) == .failure else { return nil }
            self = .failed
        }
    }
}

/// Arguments that cannot be meant.
enum UsageError: Error, CustomStringConvertible {
    case message(String)

    var description: String {
        switch self {
        case .message(let text): text
        }
    }
}

extension LLaVAError {
    /// Whether the person's words are at fault rather than a file.
    var isUsageError: Bool {
        switch self {
        case .emptyPrompt, .imageCount, .textOnly, .tokenOutOfRange, .unknownKey, .unusedOption: true
        default: false
        }
    }
}
