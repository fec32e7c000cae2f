import ArgumentParser
import LLaVAPipeline
import VisionEncoder

/// Whether pictures that come again are encoded again.
struct FeatureCacheOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Keep what the vision tower makes of pictures in this directory, and take it from there if a picture comes again (1 GB at most).",
            valueName: "dir"), completion: .directory)
    var featureCache: String?

    /// Features of a processed image.
    func features(of image: ProcessedImage, _ model: LLaVAModel) throws -> LLaVAModel.Features {
        guard let featureCache else { return try model.encode(image) }
        return try FeatureCache(directory: featureCache).features(of: image, model)
    }
}
