import ArgumentParser
import Foundation
import LLaVAPipeline
import Tokenization

/// `vlm tokenize`: the token ids of a text, or the text of token ids.
struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize",
        abstract: "Show the token ids of a text, or the text of token ids.",
        discussion: """
            The text is read as a template is: control tokens in it count. Nothing is added to it unless --special says so.

            EXAMPLES
              vlm tokenize --model SmolLM2.gguf "The capital of France is"
              vlm tokenize --model DIR --json - < book.txt           # with the time it took
              vlm tokenize --model DIR --decode "504 3575 282"
            """)

    @Option(
        help: ArgumentHelp("A model, or a file of a vocabulary alone (default: $VLM_MODEL).", valueName: "path"),
        completion: .file())
    var model: String?

    @Flag(help: "Put the tokens around the text that begin and end a sequence, as the tokenizer's settings say.")
    var special = false

    @Flag(help: "Take ids and show their text.")
    var decode = false

    @Flag(help: "Print one JSON object with ids, text, counts and times.")
    var json = false

    @Argument(help: ArgumentHelp("The text, or ids with --decode; - for standard input.", valueName: "text"))
    var text: String

    func validate() throws {
        if decode, special { throw ValidationError("--special is about a text; --decode takes ids") }
    }

    func run() throws {
        guard let path = model ?? ProcessInfo.processInfo.environment["VLM_MODEL"], !path.isEmpty else {
            throw UsageError.message("no model given; use --model PATH or set VLM_MODEL")
        }
        let input = text == "-" ? String(decoding: FileHandle.standardInput.readDataToEndOfFile(), as: UTF8.self) : text
        var report = Report(utf8Bytes: input.utf8.count)
        let clock = ContinuousClock()
        let start = clock.now
        let tokenizer = try TokenizerFiles(TokenizerFiles.Location(path: path)).tokenizer
        let loaded = clock.now
        if decode {
            report.ids = try input.split { $0 == " " || $0 == "," || $0.isNewline }.map { word in
                guard let id = Int(word) else {
                    throw UsageError.message("--decode: \"\(word)\" is not a number; write for example \"504 3575\"")
                }
                return id
            }
            report.text = try tokenizer.decode(report.ids, skippingSpecialTokens: false)
        } else {
            report.ids = tokenizer.encode(input, addingSpecialTokens: special)
        }
        report.tokens = report.ids.count
        report.milliseconds = ["load": (loaded - start).milliseconds, "convert": (clock.now - loaded).milliseconds]
        if json {
            try Terminal.json(report)
        } else {
            Terminal.answer((report.text ?? report.ids.map(String.init).joined(separator: " ")) + "\n")
        }
    }

    /// What `--json` prints.
    private struct Report: Encodable {
        var ids: [Int] = []
        var text: String?
        var tokens = 0
        var utf8Bytes: Int
        var milliseconds: [String: Double] = [:]
    }
}
