public import ArgumentParser
import Foundation
public import Training

/// `vlm data`: data sets to train and score with.
struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data",
        abstract: "Make, convert and check data sets.",
        discussion: """
            EXAMPLES
              vlm data scenes --out scenes-test --split test --count 1000 --seed 1
              vlm data fashion --photos fixtures/.cache/fashion-mnist --out fashion-test --split test --count 1000
              vlm data easy-vqa --source fixtures/.cache/easy-vqa --out easy-test --split test
              vlm data tokenizer scenes-train/questions.jsonl --out tokenizer
              vlm data check scenes-test/questions.jsonl --tokenizer tokenizer
            """,
        subcommands: [
            ScenesCommand.self, FashionCommand.self, EasyVQACommand.self, TokenizerCommand.self, CheckCommand.self,
        ])
}

/// Where a data set goes, and what is said about it.
struct DataOutput: ParsableArguments {
    @Option(
        name: .shortAndLong, help: ArgumentHelp("Directory to write into.", valueName: "dir"), completion: .directory)
    var out: String

    @Option(help: "train, validation, test or held-out.")
    var split: DataSplit

    @Flag(help: "Print one JSON object.")
    var json = false

    /// Writes a data set and prints what was written.
    func write(_ dataset: some TrainingDataset) throws {
        let summary = try DatasetWriter(directory: out).write(dataset) { done in
            if Terminal.isInteractive, done.isMultiple(of: 100) { Terminal.note("\(done) of \(dataset.count)") }
        }
        if json { return try Terminal.json(summary) }
        print("\(summary.dataset), \(split.rawValue): \(summary.examples) pictures, \(summary.questions) questions")
        for (type, answers) in summary.answers.sorted(by: { $0.key < $1.key }) {
            let total = answers.values.reduce(0, +)
            let most = answers.max { ($0.value, $1.key) < ($1.value, $0.key) }
            let share = most.map { 100 * Double($0.value) / Double(total) } ?? 0
            print(
                "  \(type): \(total), \(answers.count) answers, \"\(most?.key ?? "")\" \(String(format: "%.1f", share)) %"
            )
        }
        print("checksum \(summary.checksum)")
    }
}

extension DataSplit: ExpressibleByArgument {}

/// How scenes are drawn.
struct DrawingOptions: ParsableArguments {
    @Option(help: "How many pictures.")
    var count = 1000

    @Option(help: "What the pictures are drawn with; the same seed gives the same bytes.")
    var seed: UInt64 = 0

    @Option(help: "Width and height of the pictures in pixels.")
    var size = 128

    @Option(help: "The most questions for a picture.")
    var questions = 6

    func validate() throws {
        guard (1...10_000_000).contains(count) else { throw ValidationError("--count is 1 to 10000000, got \(count)") }
        guard (32...2048).contains(size) else { throw ValidationError("--size is 32 to 2048, got \(size)") }
        guard (1...50).contains(questions) else { throw ValidationError("--questions is 1 to 50, got \(questions)") }
    }
}

/// `vlm data scenes`
struct ScenesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scenes", abstract: "Draw scenes of shapes, with questions.",
        discussion: """
            Splits never share a scene, whatever the seeds; held-out shows shapes in colours no other split has.

            EXAMPLES
              vlm data scenes --split train --count 1000 --out scenes-train
            """)

    @OptionGroup var output: DataOutput
    @OptionGroup var drawing: DrawingOptions

    func run() throws {
        try output.write(
            ScenesDataset(
                split: output.split, count: drawing.count, seed: drawing.seed, questionsPerScene: drawing.questions,
                side: drawing.size))
    }
}

/// `vlm data fashion`
struct FashionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fashion", abstract: "Lay photographs of Fashion-MNIST out in grids, with questions.",
        discussion: """
            scripts/fetch-fashion fetches the photographs.

            EXAMPLES
              vlm data fashion --photos fixtures/.cache/fashion-mnist --split test --count 500 --out fashion-test
            """)

    @OptionGroup var output: DataOutput
    @OptionGroup var drawing: DrawingOptions

    @Option(
        help: ArgumentHelp("Directory of the four files of Fashion-MNIST.", valueName: "dir"), completion: .directory)
    var photos: String

    func run() throws {
        try output.write(
            FashionDataset(
                directory: photos, split: output.split, count: drawing.count, seed: drawing.seed,
                questionsPerScene: drawing.questions, side: drawing.size))
    }
}

/// `vlm data easy-vqa`
struct EasyVQACommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "easy-vqa", abstract: "Convert easy-VQA as its package on PyPI lays it out.",
        discussion: """
            scripts/fetch-easy-vqa fetches it. Every tenth picture of its training part is for validation.

            EXAMPLES
              vlm data easy-vqa --source fixtures/.cache/easy-vqa --split test --out easy-test
            """)

    @OptionGroup var output: DataOutput

    @Option(help: ArgumentHelp("Directory that holds train and test.", valueName: "dir"), completion: .directory)
    var source: String

    func run() throws { try output.write(EasyVQADataset(directory: source, split: output.split)) }
}
