public import ArgumentParser
public import Evaluation
import Foundation
import LLaVAPipeline
import Tensors
import Training

extension Scorer: ExpressibleByArgument {}
extension BenchmarkLayout: ExpressibleByArgument {}

/// Which questions are asked, and how answers to them are scored.
struct EvaluationDataOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "scenes, fashion, easy-vqa, or a JSONL or JSON file of questions.",
            discussion:
                "A line of a file is {\"image\": ..., \"question\": ..., \"answer\": ...}, or \"answers\" with a list, or a LLaVA conversation. Without answers only cost is measured.",
            valueName: "data"), completion: .file())
    var data: String

    @Option(
        help: ArgumentHelp(
            "The benchmark whose published file --data is: pope, scienceqa, mmbench, textvqa or vqav2.",
            discussion: "Questions are put and scored as LLaVA-1.5 and the benchmark do it.", valueName: "benchmark"))
    var layout: BenchmarkLayout?

    @Option(
        help: ArgumentHelp("The file of answers of vqav2, if they are public.", valueName: "file"), completion: .file())
    var annotations: String?

    @Flag(help: "Ask mmbench once for every rotation of a question's options, all of which must be answered right.")
    var circular = false

    @Option(help: "Part of a built-in set or of scienceqa: train, validation, test or held-out (default: test).")
    var split: DataSplit?

    @Option(
        help: ArgumentHelp(
            "Directory of fashion or easy-vqa as fetched, or of the pictures of a file (default: the file's own).",
            valueName: "dir"), completion: .directory)
    var source: String?

    @Option(
        help: ArgumentHelp("The most questions (default: all of a file or of easy-vqa; 500 of others).", valueName: "n")
    )
    var limit: Int?

    @Option(
        help: ArgumentHelp(
            "What scenes and fashion are drawn with; shuffles files and easy-vqa (default: in their order).",
            valueName: "n"))
    var seed: UInt64?

    @Option(
        name: .customLong("scorer"),
        help: ArgumentHelp(
            "How answers are scored: exact, yes-no, choice (the letter of an option), vqa or anls (default: the benchmark's; exact).",
            valueName: "scorer"))
    var givenScorer: Scorer?

    @Option(help: ArgumentHelp("Longest answer in tokens.", valueName: "n"))
    var maxTokens = 32

    /// Sets that are drawn when asked for.
    private var isDrawn: Bool { layout == nil && ["scenes", "fashion"].contains(data) }
    /// Sets that come with this project.
    private var isBuiltIn: Bool { isDrawn || (layout == nil && data == "easy-vqa") }
    /// Sets whose parts are known.
    private var hasParts: Bool { isBuiltIn || layout == .scienceqa }
    /// The part that is asked about.
    var usedSplit: DataSplit? { hasParts ? split ?? .test : nil }
    /// How answers are scored.
    var scorer: Scorer { givenScorer ?? layout?.scorer ?? .exact }
    /// What pictures are drawn or shuffled with; nil for a file in its own order.
    var usedSeed: UInt64? { isDrawn ? seed ?? 0 : seed }

    func validate() throws {
        if let limit, limit < 1 { throw ValidationError("--limit \(limit): at least 1") }
        guard maxTokens >= 1 else { throw ValidationError("--max-tokens \(maxTokens): at least 1") }
        if split != nil, !hasParts {
            throw ValidationError("--split is about built-in sets and scienceqa; \(data) is taken for a file")
        }
        if annotations != nil, layout != .vqav2 {
            throw ValidationError("--annotations is about --layout vqav2, whose answers are in a file of their own")
        }
        if circular, layout != .mmbench { throw ValidationError("--circular is about --layout mmbench") }
        if layout == .mmbench, source != nil {
            throw ValidationError("--source: the pictures of mmbench are in its file, leave it out")
        }
        if isDrawn, data == "scenes", source != nil {
            throw ValidationError("--source: scenes are drawn, leave it out")
        }
        if isBuiltIn, data != "scenes", source == nil {
            throw ValidationError("--data \(data) needs --source DIR, where scripts/fetch-\(data) put it")
        }
    }

    /// The questions.
    /// - Parameter side: width and height of pictures that are drawn.
    func open(side: Int) throws -> EvaluationSet {
        if let layout {
            let dataset = try layout.dataset(
                file: data, pictures: source, annotations: annotations, split: usedSplit ?? .test,
                isCircular: circular)
            return try EvaluationSet(dataset, limit: limit, shuffleSeed: seed)
        }
        var source = Recipe.DataSource(set: data)
        source.split = usedSplit
        source.directory = self.source.map { URL(filePath: $0).path } ?? fileDirectory
        if isDrawn {
            // Every picture has at least one question.
            source.count = limit ?? 500
            source.seed = usedSeed
        }
        let here = URL(filePath: FileManager.default.currentDirectoryPath, directoryHint: .isDirectory)
        let dataset = try source.dataset(relativeTo: here, side: side, requiresAnswers: false)
        return try EvaluationSet(dataset, limit: limit ?? (isDrawn ? 500 : nil), shuffleSeed: isDrawn ? nil : seed)
    }

    private var fileDirectory: String? {
        isBuiltIn ? nil : URL(filePath: data).deletingLastPathComponent().path
    }
}
