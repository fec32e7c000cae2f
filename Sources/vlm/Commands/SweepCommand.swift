import ArgumentParser
import Evaluation
import Foundation
import LLaVAPipeline
import Tensors
import Training
import VisionEncoder

/// `vlm sweep`: quality and cost at every budget of visual tokens.
struct SweepCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sweep",
        abstract: "Measure accuracy and cost at several budgets of visual tokens.",
        discussion: """
            Every picture is encoded once, whatever the number of budgets. The table goes to standard output; the directory
            gets sweep.csv, sweep.json, report.html and plot.svg, and answers.jsonl as answers come. A sweep that was stopped goes on
            where it was when the same command is given again.

            EXAMPLES
              vlm sweep --data scenes --limit 500 --out report
              vlm sweep --data questions.jsonl --visual-tokens 1,2,4,8,16,32,64 --scorer vqa --out report
              vlm sweep --model dense --model pmod --data easy-vqa --source fixtures/.cache/easy-vqa --out report
            """)

    @Option(
        help: ArgumentHelp(
            "A model; repeat it for several models in one report (default: $VLM_MODEL).", valueName: "path"),
        completion: .file())
    var model: [String] = []

    @OptionGroup var data: EvaluationDataOptions

    @Option(
        name: [.customLong("visual-tokens"), .customShort("m")],
        help: ArgumentHelp(
            "Budgets with commas between, or all (default: powers of two and the model's maximum).",
            discussion: "Beside models with a query transformer, one whose number is fixed is a single point.",
            valueName: "list"))
    var visualTokens: String?

    @Option(
        name: .shortAndLong, help: ArgumentHelp("Directory to write into.", valueName: "dir"), completion: .directory)
    var out: String

    @Option(
        help: ArgumentHelp(
            "Pictures whose first question is also read from the beginning at every budget, for the times of single questions and to compare answers.",
            valueName: "n"))
    var timed = 8

    @OptionGroup var template: TemplateOptions
    @OptionGroup var threads: ThreadOptions
    @OptionGroup var products: ProductOptions

    func validate() throws {
        guard timed >= 0 else { throw ValidationError("--timed \(timed): 0 or more") }
        _ = try budgets
    }

    private var budgets: BudgetList {
        get throws {
            do { return try visualTokens.map { try BudgetList(parsing: $0) } ?? .powersOfTwo } catch {
                throw ValidationError("\(error)")
            }
        }
    }

    func run() throws {
        var context = threads.context
        context.quantizedProducts = products.exact ? .exact : .native
        try context.run { try sweep() }
    }

    private func sweep() throws {
        try OutputDirectory.check(out)
        let paths = model.isEmpty ? [try ModelOptions.parse([]).path()] : model
        let assistants = try paths.map { path in
            let assistant = try Assistant(LLaVAModel.load(from: path), templateName: template.template)
            guard let vision = assistant.model.vision else { throw LLaVAError.textOnly(checkpoint: path) }
            Notes.about(assistant)
            return (assistant, vision.imageProcessor.cropSize.width)
        }
        let budgets = try budgets
        _ = try budgets.budgets(for: assistants.map(\.0.model))
        let set = try data.open(side: assistants.map(\.1).max() ?? 128)
        if set.hasAnswers {
            try set.check(data.scorer)
        } else {
            Terminal.note("note: \(data.data) has no answers, so only cost is measured")
        }
        let log = URL(filePath: out).appending(path: "answers.jsonl").path
        let sweep = try Sweep(
            assistants.map(\.0), set, budgets: budgets, maximumTokens: data.maxTokens, timedPictures: timed,
            options: template.template.map { "--template \($0)" } ?? "", log: log)
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
        try report.write(to: out, examples: SweepExample.some(of: sweep, records, report))
        print(report.table)
        for curve in report.models where curve.sameAnswers < curve.checkedAnswers {
            Terminal.note(
                "warning: \(curve.name): \(curve.checkedAnswers - curve.sameAnswers) of \(curve.checkedAnswers) answers "
                    + "differ when their prompt is read from the beginning (two tokens were about as probable)")
        }
        Terminal.note("wrote \(out)/report.html, plot.svg, sweep.csv and sweep.json")
    }
}

/// A directory that results go to.
enum OutputDirectory {
    /// Makes the directory if it is not there and checks that files can be made in it, before any work is done.
    /// - Throws: `EvaluationError.unwritable`.
    static func check(_ path: String) throws {
        let url = URL(filePath: path)
        do {
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
            let probe = url.appending(path: ".\(UUID().uuidString).partial")
            try Data().write(to: probe)
            try FileManager.default.removeItem(at: probe)
        } catch { throw EvaluationError.unwritable(path: path, reason: error.localizedDescription) }
    }
}
