public import ArgumentParser
import Foundation
public import Tokenization
import Training

/// A file of a person's examples.
struct QuestionFileOptions: ParsableArguments {
    @Argument(
        help: ArgumentHelp("JSONL or JSON: questions with answers, or LLaVA conversations.", valueName: "file"),
        completion: .file())
    var file: String

    @Option(
        help: ArgumentHelp("Folder of the pictures; the file's own by default.", valueName: "dir"),
        completion: .directory)
    var images: String?

    @Flag(help: "Allow pictures outside the folder, by absolute paths or links.")
    var allowOutside = false

    @Flag(help: "Count examples whose picture is missing or broken, and pass over them.")
    var skipBad = false

    func open() throws -> QuestionFile {
        let beside = URL(filePath: file).deletingLastPathComponent().path
        return try QuestionFile(
            path: file, folder: ImageFolder(path: images ?? beside, allowsOutside: allowOutside), skipBad: skipBad)
    }
}

/// `vlm data check`
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Say what a data set would teach, and what is wrong with it.",
        discussion: """
            Labels are made in two independent ways and compared. Exit code 1 if anything is wrong.
            What is learned stands between ⟦ and ⟧ in the samples.

            EXAMPLES
              vlm data check my-data/train.jsonl --tokenizer DIR
            """)

    @OptionGroup var data: QuestionFileOptions

    @Option(help: ArgumentHelp("Directory of the model or of its tokenizer.", valueName: "dir"), completion: .directory)
    var tokenizer: String

    @Option(help: "Conversation template.")
    var template = "v1"

    @Option(help: ArgumentHelp("The most ids of an example.", valueName: "n"))
    var maxLength: Int?

    @Option(help: "How many examples to show.")
    var samples = 3

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        let dataset = try data.open()
        let check = DataCheck(
            template: try .named(template), tokenizer: try TokenizerDirectory.tokenizer(in: URL(filePath: tokenizer)),
            maximumLength: maxLength ?? .max, skipsBadImages: data.skipBad, sampleCount: samples)
        var report = check.run(dataset)
        report.skippedImages += dataset.skippedCount
        if json { try Terminal.json(report) } else { Self.show(report) }
        if !report.isSound { throw ExitCode(ExitStatus.failed.rawValue) }
    }

    static func show(_ report: DataCheck.Report) {
        print("\(report.examples) examples, \(report.turns) questions, \(report.images) pictures")
        if report.skippedImages > 0 { print("\(report.skippedImages) passed over because of their pictures") }
        print(
            "\(report.tokens) ids, \(report.supervisedTokens) of them learned; the longest example has \(report.longest)"
        )
        for (type, count) in report.turnsByType.sorted(by: { $0.key < $1.key }) {
            print("  \(type): \(count), \(report.answersByType[type] ?? 0) answers")
        }
        for sample in report.samples { print("---\n\(sample)") }
        for problem in report.problems { Terminal.note("problem: \(problem)") }
        if report.problemCount > report.problems.count {
            Terminal.note("and \(report.problemCount - report.problems.count) more")
        }
        print(report.isSound ? "sound" : "\(report.problemCount) problems")
    }
}

/// `vlm data tokenizer`
struct TokenizerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenizer",
        abstract: "Make a small tokenizer from the questions, answers and captions of data sets.",
        discussion: """
            EXAMPLES
              vlm data tokenizer my-data/train.jsonl --out tokenizer
              vlm data tokenizer --recipe recipes/demo-model/answers.json --out tokenizer
            """)

    @Argument(
        help: ArgumentHelp("JSONL or JSON: questions with answers, or LLaVA conversations.", valueName: "file"),
        completion: .file())
    var files: [String] = []

    @Option(
        help: ArgumentHelp("A recipe whose training data is taken instead.", valueName: "file"), completion: .file())
    var recipe: String?

    @Option(help: ArgumentHelp("Of each data set, the most examples to read.", valueName: "n"))
    var limit = 20_000

    @Option(
        name: .shortAndLong, help: ArgumentHelp("Directory to write into.", valueName: "dir"), completion: .directory)
    var out: String

    @Option(help: "words or byte-pairs.")
    var kind = VocabularyTrainer.Kind.words

    @Option(help: "The most tokens; 261 are control tokens and bytes.")
    var size = 512

    func validate() throws {
        guard (VocabularyTrainer.minimumSize...65_536).contains(size) else {
            throw ValidationError("--size is \(VocabularyTrainer.minimumSize) to 65536, got \(size)")
        }
        guard limit > 0 else { throw ValidationError("--limit \(limit): at least one example") }
        guard files.isEmpty == (recipe != nil) else {
            throw ValidationError("name files of questions, or --recipe FILE, not both")
        }
    }

    func run() throws {
        var trainer = VocabularyTrainer(kind, size: size)
        for dataset in try datasets() {
            for index in 0..<min(limit, dataset.count) {
                let example = try dataset.example(at: index)
                let texts = example.turns.flatMap { [$0.question, $0.answer] }
                // Behind a role's name with a space, at the start of a line without.
                for text in texts + example.captionTexts { [text, " " + text].forEach { trainer.add($0) } }
            }
        }
        let directory = URL(filePath: out)
        do {
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            for (name, bytes) in try trainer.files().sorted(by: { $0.key < $1.key }) {
                try bytes.write(to: directory.appending(path: name), options: .atomic)
            }
        } catch { throw DataError.unwritable(path: out, reason: error.localizedDescription) }
        print(try TokenizerDirectory.tokenizer(in: directory).summary)
    }

    private func datasets() throws -> [any TrainingDataset] {
        if let recipe { return try Recipe(contentsOf: recipe).trainingData(relativeTo: recipe) }
        return try files.map { file in
            try QuestionFile(
                path: file, folder: ImageFolder(path: URL(filePath: file).deletingLastPathComponent().path))
        }
    }
}

extension VocabularyTrainer.Kind: ExpressibleByArgument {}
