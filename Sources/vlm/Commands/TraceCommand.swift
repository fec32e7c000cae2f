import ArgumentParser
import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import MQT
import NeuralNetwork
import Tensors
import Tokenization
import VisionEncoder

/// `vlm trace`: every intermediate of a forward pass in one file, or the difference of two such files.
struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace",
        abstract: "Write the named intermediates of a forward pass to a safetensors file, or compare two such files.",
        discussion: """
            Tensors: pixel_values, vision.hidden.I, vision.features, visual_tokens, inputs_embeds, decoder.hidden.I,
            pmod.kept.I, pmod.weight.I, pmod.router_logits.I, logits, decode.logits (row i drew generated_ids[i]),
            generated_ids. A second image's tensors start with image.1., a third's with image.2., and so on.

            EXAMPLES
              vlm trace --model DIR --image a.png --prompt "USER: <image> what? ASSISTANT:" --max-tokens 8 --out t.safetensors
              vlm trace --model DIR --image a.png --ids 1,77,-200,5 --visual-tokens 8 --out t.safetensors
              vlm trace --compare mine.safetensors reference.safetensors
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup var images: ImageOptions

    @Option(
        help: ArgumentHelp(
            "Read processed pixels instead of images: a safetensors file with pixel_values [views, 3, S, S] and, for tiles, image_size and grid, [width, height] each in pixels and in tiles.",
            valueName: "file"), completion: .file())
    var pixelValues: [String] = []

    @Option(help: ArgumentHelp("The prompt as the model reads it, <image> for each image.", valueName: "text"))
    var prompt: String?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("The prompt as token ids, -200 for each image, for example 1,77,-200,5.", valueName: "ids"))
    var ids: String?

    @Option(
        help: ArgumentHelp(
            "Tokens to decode greedily after the prompt, past an end token too (default: 0).", valueName: "n"))
    var maxTokens: Int?

    @Option(name: .shortAndLong, help: ArgumentHelp("The file to write.", valueName: "file"), completion: .file())
    var out: String?

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Two files to compare, tensor by tensor.", valueName: "file"), completion: .file())
    var compare: [String] = []

    @Option(
        help: ArgumentHelp(
            "Largest absolute difference that counts as equal with --compare (default: 0.0001).", valueName: "x"))
    var tolerance: Float?

    func validate() throws {
        if !compare.isEmpty {
            guard compare.count == 2 else { throw ValidationError("--compare takes two files") }
            let isAlone =
                prompt == nil && ids == nil && out == nil && maxTokens == nil && pixelValues.isEmpty && images.isEmpty
                && model.isEmpty
            guard isAlone else {
                throw ValidationError("--compare only reads two files; leave the options of a trace out")
            }
            if let tolerance, !(tolerance >= 0) {
                throw ValidationError("--tolerance \(tolerance): a number from 0 up")
            }
            return
        }
        guard tolerance == nil else {
            throw ValidationError("--tolerance is about --compare FILE FILE, which is not there")
        }
        guard (prompt == nil) != (ids == nil) else { throw ValidationError("give the prompt as --prompt or as --ids") }
        guard out != nil else { throw ValidationError("--out FILE says where the trace goes") }
        if let maxTokens, maxTokens < 0 { throw ValidationError("--max-tokens \(maxTokens): 0 or more") }
        guard images.image.isEmpty || pixelValues.isEmpty else {
            throw ValidationError("give --image or --pixel-values, not both")
        }
        if pixelValues.isEmpty {
            try images.checkUse(by: images.image)
        } else if images.noExif {
            throw ValidationError(
                "--no-exif is about image files, --pixel-values are upright or not already; leave it out")
        }
    }

    func run() throws {
        if compare.count == 2 {
            return try TraceComparison(compare[0], compare[1], tolerance: tolerance ?? 1e-4).report()
        }
        try model.context.run { try record() }
    }

    private func record() throws {
        guard let out else { return }
        let llava = try LLaVAModel.load(from: model.path(), options: model.loadOptions)
        let trace = Trace()
        let steps = maxTokens ?? 0
        let tokens = try visualTokens(llava, trace)
        trace.prefix = ""
        let prompt = try llava.prompt(try promptIDs(llava), images: tokens)
        trace.record("inputs_embeds", prompt.inputsEmbeds.reshaped(to: [1] + prompt.inputsEmbeds.shape))

        var generation = try Generation(
            llava.decoder, prompt, sampling: SamplingOptions(), maximumTokens: steps,
            endTokens: [], keepsLogits: true, trace: trace)
        while generation.next() != nil {}
        if steps > 0 {
            trace.record("decode.logits", Tensor.concatenatingRows(generation.logits))
            trace.record("generated_ids", Tensor(integers: generation.tokens, shape: [generation.tokens.count]))
        }
        try SafetensorsWriter.write(trace.tensors, metadata: ["format": "vlm-trace"], to: out)
        Terminal.note("wrote \(trace.tensors.count) tensors to \(out)")
    }

    private func visualTokens(_ llava: LLaVAModel, _ trace: Trace) throws -> [VisualTokens] {
        let budgets = try images.image.map { try llava.budget($0.visualTokens ?? images.visualTokens) }
        let processed =
            pixelValues.isEmpty
            ? try images.image.map { try llava.process(images.decode($0).image) }
            : try pixelValues.map { try PixelValuesFile.read($0) }
        return try processed.enumerated().map { index, image in
            trace.prefix = index == 0 ? "" : "image.\(index)."
            let budget = try pixelValues.isEmpty ? budgets[index] : llava.budget(images.visualTokens)
            return try llava.visualTokens(from: try llava.encode(image, trace: trace), budget: budget, trace: trace)
        }
    }

    private func promptIDs(_ llava: LLaVAModel) throws -> [Int] {
        if let ids {
            return try ids.split(separator: ",", omittingEmptySubsequences: false).map { part in
                guard let id = Int(part.trimmingCharacters(in: .whitespaces)) else {
                    throw UsageError.message("--ids: \"\(part)\" is not a number; write for example 1,77,-200,5")
                }
                return id
            }
        }
        guard let prompt, !prompt.allSatisfy(\.isWhitespace) else { throw LLaVAError.emptyPrompt }
        let tokenizer = try TokenizerFiles(llava.tokenizerLocation).tokenizer
        return ImagePrompt(prompt, tokenizer: tokenizer).ids
    }
}

/// Pixel values that were processed elsewhere.
enum PixelValuesFile {
    /// Reads `pixel_values` and, if it is there, `image_size`.
    static func read(_ path: String) throws -> ProcessedImage {
        let tensors = try SafetensorsFile(path: path).tensors
        guard let pixels = tensors["pixel_values"], pixels.rank == 4, pixels.shape[1] == 3,
            pixels.elementType == .float32,
            pixels.shape[0] > 0
        else { throw LLaVAError.malformed(path: path, reason: "expected pixel_values, float32 [views, 3, S, S]") }
        var size = ImageSize(width: pixels.shape[3], height: pixels.shape[2])
        var grid = ImageSize(width: 1, height: 1)
        if let given = tensors["image_size"] {
            guard !given.elementType.isFloatingPoint, given.count == 2, given.integers.allSatisfy({ $0 > 0 }) else {
                throw LLaVAError.malformed(
                    path: path, reason: "expected image_size as two positive integers, width and height")
            }
            size = ImageSize(width: given.integers[0], height: given.integers[1])
        }
        if let given = tensors["grid"] {
            guard !given.elementType.isFloatingPoint, given.count == 2, given.integers.allSatisfy({ $0 > 0 }) else {
                throw LLaVAError.malformed(
                    path: path, reason: "expected grid as two positive integers, tiles across and down")
            }
            grid = ImageSize(width: given.integers[0], height: given.integers[1])
        }
        return ProcessedImage(pixelValues: pixels, originalSize: size, mode: .square, grid: grid)
    }
}

/// The differences of two trace files.
struct TraceComparison {
    private let paths: (String, String)
    private let left: [String: Tensor]
    private let right: [String: Tensor]
    private let tolerance: Float

    init(_ left: String, _ right: String, tolerance: Float) throws {
        paths = (left, right)
        self.left = try SafetensorsFile(path: left).tensors
        self.right = try SafetensorsFile(path: right).tensors
        self.tolerance = tolerance
    }

    /// Prints one line a tensor; ends with exit code 1 if any differs.
    func report() throws {
        var isEqual = true
        for name in Set(left.keys).union(right.keys).sorted(by: Self.isOrdered) {
            guard let a = left[name], let b = right[name] else {
                print("\(name): only in \(left[name] == nil ? paths.1 : paths.0)")
                isEqual = false
                continue
            }
            guard a.shape == b.shape else {
                print("\(name): \(a.shape) and \(b.shape)")
                isEqual = false
                continue
            }
            let difference = zip(a.floats, b.floats).reduce(Float(0)) { largest, pair in
                let distance = abs(pair.0 - pair.1)
                return distance.isNaN && pair.0.bitPattern != pair.1.bitPattern ? .infinity : max(largest, distance)
            }
            let isClose = difference <= tolerance
            print("\(name) \(a.shape): largest difference \(difference)\(isClose ? "" : "  > \(tolerance)")")
            isEqual = isEqual && isClose
        }
        if !isEqual { throw ExitCode.failure }
    }

    /// Names with numbers in numeric order.
    private static func isOrdered(_ a: String, _ b: String) -> Bool {
        a.compare(b, options: .numeric) == .orderedAscending
    }
}
