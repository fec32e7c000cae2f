import ArgumentParser
import Foundation
import LLaVAPipeline
import MQT
import Tensors
import VisionEncoder

/// The images of a question, and how many visual tokens each may take.
struct ImageOptions: ParsableArguments {
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "PNG or JPEG file, or - for standard input; PATH@m sets its own number of visual tokens. May be repeated.",
            valueName: "path"), completion: .file())
    var image: [ImageArgument] = []

    @Option(
        name: [.customLong("visual-tokens"), .customShort("m")],
        help: ArgumentHelp(
            "Visual tokens for each image, 1 to the model's maximum (default: what the checkpoint says, or its maximum).",
            valueName: "m"))
    var visualTokens: Int?

    @Flag(help: "Ignore the orientation that a photo's EXIF data states, as the published code does.")
    var noExif = false

    /// Whether no option was given.
    var isEmpty: Bool { image.isEmpty && visualTokens == nil && !noExif }

    /// Throws if an option is about images and there are none that it could apply to.
    func checkUse(by arguments: [ImageArgument]) throws {
        if let visualTokens {
            guard !arguments.isEmpty else {
                throw ValidationError(
                    "--visual-tokens \(visualTokens) is about images, and there is none; add --image PATH")
            }
            guard arguments.contains(where: { $0.visualTokens == nil }) else {
                throw ValidationError(
                    "--visual-tokens \(visualTokens) changes nothing: every image has a number of its own (PATH@m)")
            }
        }
        if noExif, arguments.isEmpty {
            throw ValidationError("--no-exif is about images, and there is none; add --image PATH")
        }
    }

    /// One image on its way to the decoder.
    struct Visual {
        var source: String
        var information: ImageInformation
        var image: ProcessedImage
        var features: LLaVAModel.Features
        var budget: VisualTokenBudget?
        var tokens: VisualTokens
    }

    /// Decodes, encodes and compresses images. Budgets are checked before anything is computed.
    /// - Parameter choose: says the number of tokens of images that have none of their own, once all are encoded: told
    ///   their views, the tokens of the others, and the time that was spent.
    func visualTokens(
        of arguments: [ImageArgument], with model: LLaVAModel, _ cache: FeatureCacheOptions,
        _ timings: inout StageTimings,
        choosing choose: ((_ views: Int, _ fixedTokens: Int, StageTimings) throws -> Int)? = nil
    ) throws -> [Visual] {
        guard !arguments.isEmpty else { return [] }
        guard model.vision != nil else { throw LLaVAError.textOnly(checkpoint: model.path) }
        var budgets = try arguments.map { try model.budget($0.visualTokens ?? visualTokens) }
        let seen = try arguments.map { try see($0, with: model, cache, &timings) }
        if let choose {
            let views = seen.map { $0.image.pixelValues.shape[0] }
            let isFree = arguments.map { $0.visualTokens == nil }
            let fixed = zip(zip(views, budgets), isFree).reduce(0) { sum, image in
                image.1 ? sum : sum + image.0.0 * (image.0.1?.tokens ?? 0)
            }
            let chosen = try model.budget(
                choose(zip(views, isFree).reduce(0) { $1.1 ? $0 + $1.0 : $0 }, fixed, timings))
            for index in budgets.indices where isFree[index] { budgets[index] = chosen }
        }
        return try zip(seen, budgets).map { image, budget in
            let tokens = try timings.measure(\.queryTransformer) {
                try model.visualTokens(from: image.features, budget: budget)
            }
            return Visual(
                source: image.source, information: image.information, image: image.image, features: image.features,
                budget: budget, tokens: tokens)
        }
    }

    /// An image that was encoded.
    private struct Seen {
        var source: String
        var information: ImageInformation
        var image: ProcessedImage
        var features: LLaVAModel.Features
    }

    private func see(
        _ argument: ImageArgument, with model: LLaVAModel, _ cache: FeatureCacheOptions, _ timings: inout StageTimings
    ) throws -> Seen {
        let (image, information) = try timings.measure(\.imageDecode) { try decode(argument) }
        if information.isOrientationApplied {
            Terminal.note(
                "note: \(argument.path) was turned upright by its EXIF orientation (--no-exif leaves it as stored)")
        }
        if let warning = information.firstWarning {
            Terminal.note(
                "note: \(argument.path) has \(information.warningCount) flaw(s) that were passed over: \(warning)")
        }
        let processed = try timings.measure(\.preprocess) { try model.process(image) }
        let features = try timings.measure(\.encode) { try cache.features(of: processed, model) }
        return Seen(source: argument.path, information: information, image: processed, features: features)
    }

    /// Decodes one image, upright unless `--no-exif`.
    func decode(_ argument: ImageArgument) throws -> (image: RGBImage, information: ImageInformation) {
        let orientation = noExif ? OrientationPolicy.asStored : .applyEXIF
        if argument.path == "-" {
            let bytes = try FileHandle.standardInput.read(upToCount: RGBImage.byteLimit + 1) ?? Data()
            guard bytes.count <= RGBImage.byteLimit else { throw ImageError.tooManyBytes(source: "standard input") }
            return try RGBImage.decode(Array(bytes), named: "standard input", orientation: orientation)
        }
        return try RGBImage.decode(contentsOf: argument.path, orientation: orientation)
    }
}
