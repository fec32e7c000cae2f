import Foundation
import TestSupport
import Testing

@Suite struct FlagTests {
    /// Arguments after the command, and a word of the reason. None of these may be accepted and ignored.
    private static let refused: [([String], String)] = [
        (["ask", "--visual-tokens", "8", "hi"], "--image"), (["ask", "--no-exif", "hi"], "--image"),
        (["ask", "-m", "8", "--image", Pictures.png + "@4", "hi"], "--visual-tokens"),
        (["ask", "--top-p", "0.5", "hi"], "--temperature"), (["ask", "--top-k", "3", "hi"], "--temperature"),
        (["ask", "--temperature", "-1", "hi"], "--temperature"),
        (["ask", "--temperature", "nan", "hi"], "--temperature"), (["ask", "--top-p", "1.5", "hi"], "--top-p"),
        (["ask", "--top-p", "0", "--temperature", "1", "hi"], "--top-p"),
        (["ask", "--top-k", "0", "--temperature", "1", "hi"], "--top-k"),
        (["ask", "--max-tokens", "0", "hi"], "--max-tokens"),
        (["ask", "--threads", "0", "hi"], "--threads"), (["ask", "--set", "novalue", "hi"], "KEY=VALUE"),
        (["ask", "--set", "image_aspect_ration=pad", "hi"], "image_aspect_ration"),
        (["ask", "--set", "torch_dtype=float32", "hi"], "torch_dtype"), (["ask"], "words"),
        (["ask", "--max-tokens", "many", "hi"], "many"), (["ask", "--quantize", "int7", "hi"], "--quantize"),
        (["inspect", "m", "--quantize", "int8"], "--quantize"), (["chat", "--top-p", "0.5"], "--temperature"),
        (["chat", "--image", "a.png"], "--image"),
        (["chat", "--json"], "--json"), (["chat", "hello"], "hello"),
        (["trace", "--out", "t"], "--prompt"), (["trace", "--ids", "1"], "--out"),
        (["trace", "--ids", "1", "--prompt", "a", "--out", "t"], "--prompt"),
        (["trace", "--ids", "1", "--out", "t", "--tolerance", "1"], "--compare"),
        (["trace", "--ids", "1", "--out", "t", "--visual-tokens", "3"], "--image"),
        (["trace", "--ids", "1", "--out", "t", "--no-exif"], "--image"),
        (["trace", "--ids", "1,-200", "--out", "t", "--pixel-values", "p", "--no-exif"], "--no-exif"),
        (["trace", "--ids", "1,-200", "--out", "t", "--pixel-values", "p", "--image", "i"], "--image"),
        (["trace", "--ids", "1", "--out", "t", "--max-tokens=-1"], "--max-tokens"),
        (["trace", "--ids", "1", "--out", "t", "--temperature", "1"], "--temperature"),
        (["trace", "--compare", "a", "b", "--max-tokens", "3"], "--compare"),
        (["trace", "--compare", "a", "b", "--visual-tokens", "3"], "--compare"),
        (["trace", "--compare", "a", "b", "--no-exif"], "--compare"),
        (["trace", "--compare", "a", "b", "--set", "x=1"], "--compare"), (["trace", "--compare", "a"], "two files"),
        (["trace", "--compare", "a", "b", "--tolerance", "nan"], "--tolerance"),
        (["ask", Pictures.png], "question"), (["ask", "--nonsense", "hi"], "--nonsense"), (["nonsense"], "nonsense"),
        (["--nonsense"], "--nonsense"), (["train", "--recipe", "r"], "--out"),
        (["train", "--recipe", "r", "--out", "o", "--check-data"], "--check-data"),
        (["train", "--recipe", "r", "--out", "o", "--resume", "--overfit-one-batch"], "--resume"),
        (["convert", "a", "b", "--type", "q5_0"], "q8_0"),
        (["convert", "a"], "target"), (["assemble", "--vision-tower", "v", "--decoder", "d", "m"], "--connector"),
        (
            ["assemble", "--vision-tower", "v", "--decoder", "d", "--projector", "1", "--connector", "c", "m"],
            "--connector"
        ),
        (
            ["assemble", "--vision-tower", "v", "--decoder", "d", "--projector", "1", "--set", "x", "m"],
            "KEY=VALUE"
        ),
    ]

    @Test("an option that would have no effect, or is not known, is refused with exit code 2", arguments: refused)
    func refusals(arguments: [String], word: String) throws {
        let isAboutComparison = arguments.contains("--compare")
        let run = try BuiltCommand("vlm").run(
            arguments, environment: isAboutComparison ? [:] : ["VLM_MODEL": TinyModel.path])
        expectRefusal(run, 2, word)
    }

    @Test("files that the model has no use for, or that do not fit it, are refused")
    func unusedFiles() throws {
        let textOnly = try TinyModel.copy(changing: ["mm_vision_tower": nil])
        expectRefusal(
            try ask("--vision-tower", TinyModel.path + "/vision_tower", "hi", model: textOnly.path), 2,
            "mm_vision_tower")
        let projector = try TinyModel.copyWithProjector()
        expectRefusal(
            try ask(
                "--adapter", Fixtures.golden.appending(path: "llava/query_abstractor.bin").path, "hi",
                model: projector.path),
            1, "query_abstractor")
        expectRefusal(try vlm("chat", "--model", textOnly.path, "--no-exif"), 2, "--no-exif")
    }

    @Test(
        "help is as recorded; VLM_RECORD_SNAPSHOTS=1 records it anew",
        arguments: [
            "", "ask", "chat", "inspect", "trace", "assemble", "convert", "quantize", "tokenize", "data", "train",
            "curves",
            "sweep", "eval", "bench", "completions", "manual",
        ])
    func help(command: String) throws {
        let run = try BuiltCommand("vlm").run(
            (command.isEmpty ? [] : [command]) + ["--help"], environment: ["COLUMNS": "100"])
        #expect(run.ending == .status(0) && run.stderr == "")
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Snapshots/\(command.isEmpty ? "vlm" : command).txt")
        if ProcessInfo.processInfo.environment["VLM_RECORD_SNAPSHOTS"] != nil { try run.output.write(to: file) }
        #expect(run.stdout == (try String(contentsOf: file, encoding: .utf8)))
    }

    @Test("every command has examples in its help, a section of the manual page, and is completed")
    func commands() throws {
        let help = try vlm("--help", environment: ["COLUMNS": "100"]).stdout
        let list = try #require(help.split(separator: "SUBCOMMANDS:\n").last)
        let names = list.matches(of: #/(?m)^  ([a-z]+) /#).map { String($0.1) }
        #expect(names.count >= 15)
        let manual = try vlm("manual").stdout
        let scripts = try ["bash", "zsh", "fish"].map { try vlm("completions", $0).stdout }
        for name in names {
            #expect(manual.contains("\n.SS vlm \(name)\n"), "\(name)")
            #expect(try vlm(name, "--help").stdout.contains("EXAMPLES"), "\(name)")
            #expect(scripts.allSatisfy { $0.contains(name) }, "\(name)")
        }
        // Requests are those of man, and options can be searched for and copied.
        let requests = Set(manual.matches(of: #/(?m)^\.([A-Z]+|[a-z]+)/#).map { String($0.1) })
        #expect(requests.isSubset(of: ["TH", "SH", "SS", "B", "I", "PP", "TP", "RS", "RE", "nf", "fi"]))
        #expect(manual.contains("\\fB\\-\\-visual\\-tokens\\fR"))
        #expect(scripts[1].hasPrefix("#compdef vlm"))
        expectRefusal(try vlm("completions", "tcsh"), 2, "tcsh")
    }

    @Test("a bare vlm shows its help")
    func bare() throws {
        let run = try vlm(environment: ["COLUMNS": "100"])
        #expect(run.ending == .status(0) && run.stdout.contains("USAGE: vlm"))
    }
}
