import ArgumentParser
import Foundation
import LLaVAPipeline
import Tensors
import Training

/// `vlm train`: carries out a recipe.
struct TrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Train or fine-tune a model by a recipe.",
        discussion: """
            The directory of a run holds recipe.json, log.jsonl, a log for TensorBoard, checkpoints and, at the end, the
            model. A run that was stopped, even by kill -9, goes on with --resume to the same bytes. Ctrl-C saves first.

            EXAMPLES
              vlm train --recipe recipes/demo.json --check-data        # before anything is trained
              vlm train --recipe recipes/demo.json --out runs/demo
              vlm train --recipe recipes/demo.json --out runs/demo --resume
            """)

    @OptionGroup var threads: ThreadOptions

    @Option(help: ArgumentHelp("What to train, on what, and how.", valueName: "file"), completion: .file())
    var recipe: String

    @Option(
        name: .shortAndLong, help: ArgumentHelp("Directory of the run; must not exist yet.", valueName: "dir"),
        completion: .directory)
    var out: String?

    @Flag(help: "Go on from the newest checkpoint of the run in the directory.")
    var resume = false

    @Flag(help: "Make all labels in two ways, show samples, and stop; exit code 1 if anything is wrong.")
    var checkData = false

    @Flag(help: "Pass over examples whose picture is missing or cannot be decoded, and count them.")
    var skipBad = false

    @Flag(help: "Take the first step's examples in every step: the loss must come near 0.")
    var overfitOneBatch = false

    @Option(
        help: ArgumentHelp("Memory for features of pictures that have been seen, in gigabytes.", valueName: "GB"))
    var featureMemory = 4

    @Flag(help: "Print one JSON object for every step, or for every data set with --check-data.")
    var json = false

    func validate() throws {
        guard (0...1024).contains(featureMemory) else {
            throw ValidationError("--feature-memory \(featureMemory): 0 to 1024 gigabytes")
        }
        guard (out == nil) == checkData else {
            throw ValidationError(
                checkData ? "--check-data writes nothing; leave --out out" : "--out DIR says where the run goes")
        }
        if resume, checkData || overfitOneBatch {
            throw ValidationError("--resume goes on with a run; leave --check-data and --overfit-one-batch out")
        }
    }

    func run() throws {
        guard let out else { return try check() }
        // A step makes and drops the same tensors as the one before.
        var context = threads.context
        context.memory = MemoryPool()
        try context.run {
            let run = try TrainingRun(
                recipe: recipe, directory: out, resuming: resume, overfitting: overfitOneBatch,
                cacheBytes: featureMemory << 30, skipBad: skipBad)
            Terminal.note("training \(run.trainedWeights) weights of \(run.recipe.model)")
            for (name, count) in run.skippedExamples where count > 0 {
                Terminal.note("\(name): \(count) examples passed over, whose picture is missing or broken")
            }
            if resume { Terminal.note("resuming after step \(run.step) of \(run.recipe.steps)") }
            let interrupt = Interrupt()
            interrupt.arm()
            let clock = ContinuousClock()
            let (start, first) = (clock.now, run.step)
            var bar = ProgressBar()
            let isDone = try run.run(isCancelled: { interrupt.isRaised }) { progress in
                if json { try? Terminal.json(progress) }
                guard !json else { return }
                let perStep = (clock.now - start) / Double(progress.step - first)
                let left = perStep * Double(run.recipe.steps - progress.step)
                let text = line(progress, of: run.recipe.steps, left: left)
                if Terminal.isInteractive {
                    // Scores stay in sight, each under the bar it came with.
                    let scores = scores(progress)
                    bar.show(
                        Double(progress.step) / Double(run.recipe.steps), text,
                        isLast: progress.step == run.recipe.steps || !scores.isEmpty)
                    if !scores.isEmpty { Terminal.note(scores) }
                } else if progress.accuracy != nil || progress.step.isMultiple(of: 50) {
                    Terminal.note([text, scores(progress)].filter { !$0.isEmpty }.joined(separator: "  "))
                }
            }
            interrupt.disarm()
            guard isDone else {
                Terminal.note("stopped after step \(run.step); go on with --resume")
                throw ExitCode(ExitStatus.interrupted.rawValue)
            }
            Terminal.note("wrote \(out)/model")
        }
    }

    private func check() throws {
        let reports = try threads.context.run { try TrainingRun.check(recipe: recipe, skipBad: skipBad) }
        for (name, report) in reports {
            if json {
                try Terminal.json(report)
            } else {
                print("\(name):")
                CheckCommand.show(report)
            }
        }
        guard reports.allSatisfy(\.report.isSound) else { throw ExitCode(ExitStatus.failed.rawValue) }
    }

    private func line(_ progress: TrainingRun.Progress, of steps: Int, left: Duration) -> String {
        [
            "step \(progress.step)/\(steps)", String(format: "loss %.4f", progress.loss),
            "\(Int(Double(progress.tokens) / max(progress.seconds, 1e-9))) tokens/s",
            "\(left.formatted(.time(pattern: .hourMinuteSecond))) left",
        ].joined(separator: "  ")
    }

    /// The scores on validation data; empty for a step without.
    private func scores(_ progress: TrainingRun.Progress) -> String {
        (progress.accuracy ?? [:]).sorted { $0.key < $1.key }
            .map { String(format: "%@ %.1f %%", $0.key, 100 * $0.value) }.joined(separator: "  ")
    }
}

/// On how many threads to compute.
struct ThreadOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Threads to compute with (default: one for each processor).", valueName: "n"))
    var threads: Int?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads \(threads) is outside 1...1024")
        }
    }

    /// Where to compute.
    var context: ComputeContext { ComputeContext(threads: threads) }
}
