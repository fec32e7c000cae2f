import ArgumentParser
import Evaluation
import Foundation
import LLaVAPipeline
import MQT
import ModelFiles
import Tensors
import Training
import VisionEncoder

/// `vlm eval`: the score of a model on a data set.
struct EvalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval",
        abstract: "Score a model's answers to the questions of a data set.",
        discussion: """
            The score with its interval of 95 % goes to standard output, the answers to a file: a JSON object a line, or the
            array that the servers of VQAv2 and TextVQA take if its name ends in .json. An evaluation that was stopped goes
            on where it was when the same command is given again.

            EXAMPLES
              vlm eval --data scenes --limit 200 --out answers.jsonl
              vlm eval --data pope.jsonl --scorer yes-no --visual-tokens 16 --out answers.jsonl --json
              vlm eval --layout mmbench --data mmbench_dev_20230712.tsv --circular --out answers.jsonl
              vlm eval --layout vqav2 --data v2_OpenEnded_mscoco_test2015_questions.json --source test2015 --out upload.json
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var data: EvaluationDataOptions

    @Option(
        name: [.customLong("visual-tokens"), .customShort("m")],
        help: ArgumentHelp(
            "Visual tokens for each picture (default: what the checkpoint says, or its maximum).", valueName: "m"))
    var visualTokens: Int?

    @Option(name: .shortAndLong, help: ArgumentHelp("File for the answers.", valueName: "file"), completion: .file())
    var out: String

    @OptionGroup var template: TemplateOptions
    @OptionGroup var products: ProductOptions

    @Flag(help: "Print one JSON object.")
    var json = false

    func run() throws {
        try products.context(model).run { try evaluate() }
    }

    private func evaluate() throws {
        let target = URL(filePath: out)
        try OutputDirectory.check(target.deletingLastPathComponent().path)
        let path = try model.path()
        let assistant = try Assistant(
            LLaVAModel.load(from: path, options: model.loadOptions), templateName: template.template)
        guard let vision = assistant.model.vision else { throw LLaVAError.textOnly(checkpoint: path) }
        Notes.about(assistant)
        let budget = try assistant.model.budget(visualTokens)
        let set = try data.open(side: vision.imageProcessor.cropSize.width)
        // The servers of benchmarks keep answers to themselves.
        guard set.hasAnswers || data.layout != nil else { throw EvaluationError.unanswered(source: data.data) }
        try set.check(data.scorer)
        let log = out + ".partial"
        let sweep = try Sweep(
            [assistant], set, budgets: budget.map { .numbers([$0.tokens]) } ?? .powersOfTwo,
            maximumTokens: data.maxTokens, timedPictures: 0,
            options: "template \(template.template ?? "-"), tower \(model.visionTower ?? "-"), adapter "
                + "\(model.adapter ?? "-"), set \(model.overrides)", log: log)
        let interrupt = Interrupt()
        interrupt.arm()
        var line = CountedProgress(of: "pictures")
        guard
            let records = try sweep.run(
                isCancelled: { interrupt.isRaised }, report: { line.show($0.done, of: $0.total, resumed: $0.resumed) })
        else {
            Terminal.note("\nstopped; the same command goes on from \(log)")
            throw ExitCode(ExitStatus.interrupted.rawValue)
        }
        let report = SweepReport(
            sweep, records, scorer: data.scorer, split: data.usedSplit?.rawValue, seed: data.usedSeed)
        try AnswerFile.write(records, of: set, scorer: data.scorer, layout: data.layout, to: out)
        try? FileManager.default.removeItem(atPath: log)
        if json { return try Terminal.json(report) }
        guard set.hasAnswers else {
            return Terminal.note("wrote \(set.questionCount) answers to \(out); there is nothing to compare them with")
        }
        print(report.scores)
    }
}
