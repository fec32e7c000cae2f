import ArgumentParser
import Foundation
import LanguageDecoder
import LLaVAPipeline
import MQT
import Tokenization
import Tensors
import VisionEncoder

/// `vlm ask`: one question, one answer.
struct AskCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ask",
        abstract: "Answer a question about images.",
        discussion: """
            The answer alone goes to standard output, as it is made; with --json one JSON object instead.

            EXAMPLES
              vlm ask --image kitchen.jpg "how many cups are on the table?"
              vlm ask kitchen.jpg "how many cups?"                  # an image may also come first
              vlm ask --image a.jpg@16 --image b.jpg@144 "what changed between the two?"
              vlm ask --image kitchen.jpg --budget 800ms "how many cups?"
              vlm ask --visual-tokens 8 --json --image - "what is this?" < photo.png
              vlm ask --image kitchen.jpg --explain why.html "how many cups?"
              vlm ask --batch questions.jsonl --out answers.jsonl
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var images: ImageOptions
    @OptionGroup var cache: FeatureCacheOptions
    @OptionGroup var time: TimeBudgetOptions
    @OptionGroup var sampling: SamplingFlags
    @OptionGroup var template: TemplateOptions
    @OptionGroup var products: ProductOptions
    @OptionGroup var batch: BatchOptions

    @Flag(help: "Print one JSON object with the answer, token counts and the time of each stage.")
    var json = false

    @Option(
        help: ArgumentHelp(
            "Draw what the answer depends on in the picture and what layers keep of it, as PNG, or as HTML to slide through.",
            valueName: "file"), completion: .file())
    var explain: String?

    @Argument(help: ArgumentHelp("Image files, if any, and then the question.", valueName: "words"))
    var words: [String] = []

    private var imageArguments: [ImageArgument] {
        images.image + words.dropLast().compactMap { ImageArgument(argument: $0) }
    }

    func validate() throws {
        if let file = batch.batch {
            guard words.isEmpty, images.image.isEmpty else {
                throw ValidationError("--batch \(file) has the questions and their images; leave others out")
            }
            if let budget = time.budget {
                throw ValidationError("--budget \(budget) is about one answer; say --visual-tokens with --batch")
            }
            guard explain == nil else {
                throw ValidationError("--explain is about one answer; leave it out with --batch")
            }
            guard !json else { throw ValidationError("--json: --batch prints JSON anyway, leave it out") }
            return
        }
        guard !words.isEmpty else { throw ValidationError("Missing expected argument '<words> ...': ask something") }
        try images.checkUse(by: imageArguments)
        if let directory = cache.featureCache, imageArguments.isEmpty {
            throw ValidationError("--feature-cache \(directory) is about images, and there is none; add --image PATH")
        }
        try time.checkUse(by: images, imageArguments)
        if let explain {
            guard imageArguments.count == 1 else {
                throw ValidationError("--explain \(explain) is about one picture; there are \(imageArguments.count)")
            }
            guard ExplanationForm(file: explain) != nil else {
                throw ValidationError("--explain \(explain): the name of a PNG or HTML file, ending in .png or .html")
            }
        }
        if let last = words.last, FileManager.default.fileExists(atPath: last) {
            throw ValidationError("\(last) is a file, and the question comes last: what do you want to know about it?")
        }
    }

    func run() throws {
        try products.context(model).run {
            if let file = batch.batch { try answerAll(of: file) } else { try answer() }
        }
    }

    private func answerAll(of file: String) throws {
        let assistant = try Assistant(
            LLaVAModel.load(from: model.path(), options: model.loadOptions), templateName: template.template)
        Notes.about(assistant)
        // A number that no line can have is an error at once; one of a model without a tower as well.
        if images.visualTokens != nil { _ = try assistant.model.budget(images.visualTokens) }
        let ask = BatchAsk(
            assistant: assistant, options: batch, cache: cache, sampling: sampling, visualTokens: images.visualTokens,
            orientation: images.noExif ? .asStored : .applyEXIF)
        let interrupt = Interrupt()
        interrupt.arm()
        guard let failures = try ask.run(file, isCancelled: { interrupt.isRaised }) else {
            Terminal.note("stopped; with --out the same command goes on")
            throw ExitCode(ExitStatus.interrupted.rawValue)
        }
        guard failures == 0 else {
            Terminal.note("questions that could not be answered: \(failures)")
            throw ExitCode(ExitStatus.failed.rawValue)
        }
    }

    private func answer() throws {
        guard let question = words.last else { throw LLaVAError.emptyPrompt }
        let arguments = imageArguments
        if let explain { try OutputDirectory.check(URL(filePath: explain).deletingLastPathComponent().path) }

        var timings = StageTimings()
        let assistant = try timings.measure(\.load) {
            try Assistant(
                LLaVAModel.load(from: model.path(), options: model.loadOptions), templateName: template.template)
        }
        Notes.about(assistant)
        let conversation = try assistant.conversation(asking: question, images: arguments.count)
        let ids = try assistant.ids(of: conversation)
        let chooser = try time.budget.map { try BudgetChooser($0, assistant.model, model) }
        var budget: BudgetReport?
        let visual = try images.visualTokens(
            of: arguments, with: assistant.model, cache, &timings,
            choosing: chooser.map { chooser in
                { views, fixed, spent in
                    let choice = try chooser.choose(
                        views: views, fixedTokens: fixed, textTokens: ids.count - arguments.count, spent: spent)
                    budget = choice
                    return choice.visualTokens
                }
            })
        let prompt = try assistant.model.prompt(ids, images: visual.map(\.tokens))

        let decoder = assistant.model.decoder
        var generation = try timings.measure(\.prefill) {
            try Generation(
                decoder, prompt, sampling: sampling.options, maximumTokens: sampling.maxTokens,
                endTokens: assistant.endTokens)
        }
        budget?.finish(timings)
        var answer = assistant.answerText()
        AnswerLoop.run(&generation, &answer, &timings) { if !json { Terminal.answer($0) } }
        if !json { Terminal.answer("\n") }
        if generation.stopReason == .length, !answer.isComplete {
            Terminal.note("note: the answer was cut at --max-tokens \(sampling.maxTokens)")
        }
        if let budget, let actual = budget.actualMilliseconds, !json {
            Terminal.note(
                String(
                    format: "%d visual tokens; first word after %.0f ms, %.0f predicted (%+.0f %%)",
                    budget.visualTokens,
                    actual, budget.predictedMilliseconds, 100 * (budget.error ?? 0)))
        }
        if let explain, let form = ExplanationForm(file: explain) {
            try form.write(
                assistant, question: question, ids: ids, answer: generation.tokens, of: visual[0], to: explain)
        }
        guard json else { return }
        try Terminal.json(
            AnswerReport(
                assistant, question: question, answer: answer.text, visual: visual, prompt: prompt,
                generation: generation, timings: timings, budget: budget, seed: sampling.options.seed))
    }
}

/// The loop that draws tokens and shows their text.
enum AnswerLoop {
    /// Draws tokens until the answer is complete or `isCancelled` says so, giving text to `show` as it becomes certain.
    static func run(
        _ generation: inout Generation, _ answer: inout AnswerText, _ timings: inout StageTimings,
        isCancelled: () -> Bool = { false }, show: (String) -> Void
    ) {
        let clock = ContinuousClock()
        while !answer.isComplete, !isCancelled() {
            let start = clock.now
            // The first token comes from the prefill's logits; every other one costs a step of the decoder.
            let isStep = !generation.tokens.isEmpty
            let token = generation.next()
            if isStep, token != nil {
                timings.decode += clock.now - start
                timings.decodeSteps += 1
            }
            guard let token else { break }
            show(answer.append(token))
        }
        show(answer.finish())
    }
}

/// Notes on standard error that a person should read before the answer.
enum Notes {
    /// Says what was chosen for the model, and whether its answers mean anything.
    static func about(_ assistant: Assistant) {
        if assistant.model.config.isUntrained {
            Terminal.note(
                "note: \(assistant.model.path) has random weights (\"untrained\" in config.json); its answer means nothing"
            )
        }
        if Terminal.isInteractive {
            Terminal.note("template \(assistant.template.template.name): \(assistant.template.reason)")
        }
    }
}
