import ArgumentParser
import Foundation
import LanguageDecoder
import LLaVAPipeline
import Synchronization
import Tensors

/// `vlm chat`: a conversation about images.
struct ChatCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat",
        abstract: "Talk about images.",
        discussion: """
            Lines that begin with a slash are commands:
              /image PATH    show an image with the next question (PATH@m sets its number of visual tokens)
              /budget m      use m visual tokens for images from now on, or as many as fit into a time (/budget 800ms);
                             /budget alone goes back to that of the start
              /reset         forget the conversation
              /quit          leave (so does the end of input)
            Ctrl-C stops an answer, not the program; at the prompt it leaves.

            EXAMPLES
              vlm chat --model DIR
              vlm chat --model DIR --budget 500ms --feature-cache ~/.cache/vlm/features
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var sampling: SamplingFlags
    @OptionGroup var template: TemplateOptions
    @OptionGroup var products: ProductOptions

    @Option(
        name: [.customLong("visual-tokens"), .customShort("m")],
        help: ArgumentHelp("Visual tokens for each image.", valueName: "m"))
    var visualTokens: Int?

    @OptionGroup var time: TimeBudgetOptions
    @OptionGroup var cache: FeatureCacheOptions

    @Flag(help: "Ignore the orientation that a photo's EXIF data states.")
    var noExif = false

    func validate() throws {
        if let budget = time.budget, let visualTokens {
            throw ValidationError("--budget \(budget) chooses what --visual-tokens \(visualTokens) says; leave one out")
        }
    }

    func run() throws {
        try products.context(model).run {
            let assistant = try Assistant(
                LLaVAModel.load(from: model.path(), options: model.loadOptions), templateName: template.template)
            if visualTokens != nil { _ = try assistant.model.budget(visualTokens) }
            if noExif, assistant.model.vision == nil {
                throw UsageError.message("--no-exif is about images, and \(assistant.model.path) has no vision tower")
            }
            Notes.about(assistant)
            var session = ChatSession(assistant)
            let interrupt = Interrupt()
            var chooser = try time.budget.map { try BudgetChooser($0, assistant.model, model) }
            var images = ImageOptions()
            images.image = []
            images.visualTokens = visualTokens
            images.noExif = noExif
            while let line = prompt() {
                do {
                    guard try handle(line, &session, &images, &chooser, interrupt) else { break }
                } catch {
                    // A mistake in one line does not end the conversation.
                    Terminal.note("error: \(error)")
                }
            }
        }
    }

    private func prompt() -> String? {
        if Terminal.isInteractive { FileHandle.standardError.write(Data("> ".utf8)) }
        return readLine()
    }

    /// Does what one line says; false to leave.
    private func handle(
        _ line: String, _ session: inout ChatSession, _ images: inout ImageOptions,
        _ chooser: inout BudgetChooser?, _ interrupt: Interrupt
    ) throws -> Bool {
        let text = line.trimmingCharacters(in: .whitespaces)
        if text.isEmpty { return true }
        guard text.hasPrefix("/") else {
            try answer(text, &session, interrupt)
            return true
        }
        let parts = text.split(separator: " ", maxSplits: 1).map(String.init)
        let argument = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : nil
        switch (parts[0], argument) {
        case ("/quit", nil), ("/exit", nil): return false
        case ("/reset", nil):
            session.reset()
            Terminal.note("the conversation starts anew")
        case ("/budget", nil):
            chooser = try time.budget.map { try BudgetChooser($0, session.assistant.model, model) }
            images.visualTokens = visualTokens
        case ("/budget", let value?):
            if let budget = TimeBudget(argument: value) {
                chooser = try BudgetChooser(budget, session.assistant.model, model)
                images.visualTokens = nil
                break
            }
            guard let tokens = Int(value) else {
                throw UsageError.message("/budget \(value): a number is wanted, or a time such as 800ms")
            }
            _ = try session.assistant.model.budget(tokens)
            chooser = nil
            images.visualTokens = tokens
        case ("/image", let path?):
            guard let image = ImageArgument(argument: path), path != "-" else {
                throw UsageError.message("/image PATH: a file is wanted")
            }
            var timings = StageTimings()
            // The question is not known yet: it is taken to be short.
            let choose = image.visualTokens == nil ? chooser : nil
            let visual = try images.visualTokens(
                of: [image], with: session.assistant.model, cache, &timings,
                choosing: choose.map { chooser in
                    { views, fixed, spent in
                        try chooser.choose(
                            views: views, fixedTokens: fixed, textTokens: FirstTokenCost.measuredTextTokens,
                            spent: spent
                        ).visualTokens
                    }
                })
            session.show(visual.map(\.tokens))
            Terminal.note(
                "\(image.path): \(visual.map(\.tokens.count).reduce(0, +)) visual tokens, shown with the next question")
        default: throw UsageError.message("\(text): commands are /image PATH, /budget m, /reset and /quit")
        }
        return true
    }

    private func answer(_ question: String, _ session: inout ChatSession, _ interrupt: Interrupt) throws {
        interrupt.arm()
        defer { interrupt.disarm() }
        try session.answer(
            question, sampling: sampling.options, maximumTokens: sampling.maxTokens,
            isCancelled: { interrupt.isRaised }, show: Terminal.answer)
        Terminal.answer("\n")
    }
}

/// Ctrl-C: while armed it raises a flag; otherwise it ends the program with the code of the design.
final class Interrupt {
    private final class State: Sendable {
        let isArmed = Atomic<Bool>(false)
        let isRaised = Atomic<Bool>(false)

        func handle() {
            if isArmed.load(ordering: .acquiring) {
                isRaised.store(true, ordering: .releasing)
            } else {
                Foundation.exit(ExitStatus.interrupted.rawValue)
            }
        }
    }

    private let state = State()
    private let source: any DispatchSourceSignal

    init() {
        signal(SIGINT, SIG_IGN)
        source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
        source.setEventHandler { [state] in state.handle() }
        source.resume()
    }

    /// Whether Ctrl-C was pressed since `arm`.
    var isRaised: Bool { state.isRaised.load(ordering: .acquiring) }

    /// From now on Ctrl-C only raises the flag.
    func arm() {
        state.isRaised.store(false, ordering: .releasing)
        state.isArmed.store(true, ordering: .releasing)
    }

    /// From now on Ctrl-C ends the program.
    func disarm() { state.isArmed.store(false, ordering: .releasing) }
}
