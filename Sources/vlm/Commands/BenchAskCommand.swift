import ArgumentParser
import Evaluation
import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import MQT
import Tensors
import Training
import VisionEncoder

/// `vlm bench ask`: where the time of an answer goes, at several numbers of visual tokens.
struct BenchAskCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ask",
        abstract: "Time the stages from a picture to the first tokens at several budgets; print JSON.",
        discussion: """
            The budgets take turns: each answers from the file of the picture on, again and again; milliseconds are medians.
            A stage's of_peak is the part of its time that its operations would take at the peak of the units that compute
            them: float32_gflops, measured in this process all along, twice that for integers of 16 bits, or four
            times for those of 8.
            of_read_rate is the same for the bytes of the weights, keys and values it reads, at
            read_gigabytes_per_second. What is near 1 is what limits the stage.

            allocated_bytes are those of tensors, caches and scratch that came from the allocator, without what was used
            again; page_faults tell how often the system had to hand out or map a page. first_ask is the first answer of
            the process, as vlm ask gives it: it reads the blocks of a GGUF file where they lie. What follows is measured
            once these are packed, as a long answer does on its way; packed_peak_rss_bytes is with that memory. drift
            compares what the tower and the prompt lead to with exact products.

            Without --image a drawn scene is looked at. Any tokens will do as text: none costs more than another.

            EXAMPLES
              vlm bench ask
              vlm bench ask --model MQT-LLaVA-7b --quantize encoder=int8,decoder=int4 --image kitchen.jpg
              vlm bench ask --visual-tokens 1,16,64 --repeats 20 --plot first-token.svg
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var products: ProductOptions

    @Option(help: ArgumentHelp("PNG or JPEG file.", valueName: "path"), completion: .file())
    var image: String?

    @Option(
        name: [.customLong("visual-tokens"), .customShort("m")],
        help: ArgumentHelp(
            "Numbers of visual tokens with commas between them (default: those of 1, 4, 16, 64, 256 and 576 that the model can make).",
            valueName: "list"))
    var visualTokens: String?

    @Option(help: ArgumentHelp("Tokens of the prompt beside the visual ones.", valueName: "n"))
    var textTokens = 48

    @Option(help: ArgumentHelp("Tokens to decode after the first.", valueName: "n"))
    var decodeTokens = 8

    @Option(help: ArgumentHelp("Rounds, of which the median is printed; one more comes before them.", valueName: "n"))
    var repeats = 3

    @Option(
        help: ArgumentHelp("Draw the time to the first token against the budget, as SVG.", valueName: "file"),
        completion: .file())
    var plot: String?

    func validate() throws {
        guard textTokens >= 1, decodeTokens >= 1, repeats >= 1 else {
            throw ValidationError("--text-tokens, --decode-tokens and --repeats are at least 1")
        }
        if let visualTokens, try BudgetList(parsing: visualTokens) == .all {
            throw ValidationError("--visual-tokens all: write the numbers, for example 1,16,64")
        }
    }

    func run() throws {
        var context = try products.context(model)
        context.operations = OperationCounter()
        try context.run { try Terminal.json(report()) }
    }

    private func report() throws -> AskProfile {
        let path = try model.path()
        var load = StageMeter()
        let loaded = try load.measure { try LLaVAModel.load(from: path, options: model.loadOptions) }
        guard let vision = loaded.vision else { throw LLaVAError.textOnly(checkpoint: path) }
        let profiler = AskProfiler(
            model: loaded, picture: try picture(side: vision.imageProcessor.cropSize.width), textTokens: textTokens,
            decodeTokens: decodeTokens)
        let budgets = try budgets(of: loaded)
        var answers = budgets.map { _ in AskProfiler.Answer() }
        var machine: [MachineRates] = []
        for index in budgets.indices { try profiler.ask(budgets[index], &answers[index], keepingLogits: true) }
        // Measuring the machine takes memory of its own, so that comes after the answers' peak is known.
        let peak = ProcessMemory.peakBytes
        var packedPeak = peak
        // What follows is measured as it is once many tokens have been written.
        var lasting = ComputeContext.current
        lasting.packing = .atOnce
        try lasting.run {
            var packing = AskProfiler.Answer()
            try profiler.ask(budgets[0], &packing, keepingLogits: false)
            packedPeak = ProcessMemory.peakBytes
            for _ in 0..<repeats {
                machine.append(.measured())
                for index in budgets.indices {
                    try profiler.ask(budgets[index], &answers[index], keepingLogits: false)
                }
            }
        }
        let rates = machine.median
        let first = AskProfile.First(load: load, answers[0])
        for index in answers.indices { answers[index].forgetFirst() }

        let drifts = products.exact ? nil : try profiler.drifts(budgets, answers)
        let profile = AskProfile(
            loaded, source: image, first: first, answers, rates, peakRssBytes: peak,
            packedPeakRssBytes: packedPeak, textTokens: textTokens, decodeTokens: decodeTokens, repeats: repeats,
            drifts: drifts)
        if let plot { try draw(profile, to: plot) }
        return profile
    }

    /// The budgets that were asked for, or of the usual ones those that the model has; nil for a fixed number.
    private func budgets(of model: LLaVAModel) throws -> [VisualTokenBudget?] {
        if let visualTokens {
            let list = try BudgetList(parsing: visualTokens).budgets(for: [model])
            return try list.sorted().map { try model.budget($0) }
        }
        guard let maximum = model.maximumVisualTokens else { return [nil] }
        return try [1, 4, 16, 64, 256, 576].filter { $0 <= maximum }.map { try model.budget($0) }
    }

    /// Decodes the picture.
    private func picture(side: Int) throws -> () throws -> RGBImage {
        if let image {
            return { try RGBImage.decode(contentsOf: image, orientation: .applyEXIF).image }
        }
        let scene = ScenesDataset(split: .test, count: 1, seed: 0, side: side).example(at: 0)
        guard let bytes = try scene.image?.decoded().pngBytes() else { return { throw ExitCode.failure } }
        return { try RGBImage.decode(bytes, named: "a drawn scene").image }
    }

    private func draw(_ profile: AskProfile, to path: String) throws {
        let name = URL(filePath: profile.model).lastPathComponent
        var drawing = FirstTokenPlot(title: "First token of \(name), milliseconds")
        func curve(_ title: String, _ milliseconds: (AskProfile.Budget) -> Double) {
            drawing.add(title, profile.budgets.map { ($0.visualTokens, milliseconds($0)) })
        }
        curve("first token") { $0.firstTokenMilliseconds }
        curve("of which the prompt") { $0.stages.prefill.milliseconds }
        curve("of which the vision tower") { $0.stages.encode.milliseconds }
        try AtomicFile(path: path).write { try $0.write(contentsOf: Data(drawing.svg.utf8)) }
        Terminal.note("wrote \(path)")
    }
}
