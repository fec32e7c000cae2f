import Foundation
import ModelFiles
import NeuralNetwork
import Tensors
import VisionEncoder

/// Where a model's vision tower comes from: its shape, its preprocessing and its weights.
///
/// The tower may lie in a directory of its own, given by the caller or as `vision_tower/` beside the weights, with or
/// without weights of its own; or only inside the checkpoint, where the shape of its tensors tells all but the number of
/// heads, which in every published CLIP tower have size 64.
struct VisionTowerFiles {
    let config: VisionTransformerConfig
    let processor: CLIPImageProcessor
    let weights: WeightReader
    /// What holds the weights, for messages.
    let source: String

    /// Names that the original code puts before the tower's own in a whole checkpoint.
    static let checkpointPrefix = "model.vision_tower.vision_tower.vision_model"

    /// Finds the tower of a checkpoint.
    /// - Parameter directory: what the caller gave; nil for none.
    /// - Throws: `LLaVAError.missingVisionTower` if there are no weights, or what is wrong with a file.
    init(of checkpoint: CheckpointDirectory, named name: String, in directory: String?) throws {
        let directory = directory ?? Self.besideWeights(of: checkpoint)
        let isInside = checkpoint.tensors.keys.contains { $0.hasPrefix(Self.checkpointPrefix + ".") }
        let files = try directory.map(Self.names) ?? []
        if let directory, !files.contains(where: { Self.isWeights($0) || Self.configurations.contains($0) }) {
            throw LLaVAError.malformed(
                path: directory,
                reason: "holds no \(Self.configurations.joined(separator: ", no ")) and no weights of a vision tower")
        }

        if let directory, files.contains(where: Self.isWeights) {
            let tower = try CheckpointDirectory(path: directory)
            guard tower.layout == .clip || tower.layout == .clipVision else {
                throw LLaVAError.malformed(
                    path: directory, reason: "holds \(tower.layout), expected a CLIP vision tower")
            }
            weights = WeightReader(tower.tensors).scoped("vision_model")
            source = directory
        } else if isInside {
            weights = WeightReader(checkpoint.tensors).scoped(Self.checkpointPrefix)
            source = checkpoint.path
        } else {
            throw LLaVAError.missingVisionTower(name: name, checkpoint: checkpoint.path)
        }

        if let directory, files.contains("config.json") {
            config = try JSONFile.decode(CLIPVisionConfig.self, from: directory + "/config.json").transformer
        } else {
            guard let inferred = VisionTransformerConfig(clipWeights: checkpoint.tensors, prefix: Self.checkpointPrefix)
            else {
                throw LLaVAError.malformed(
                    path: checkpoint.path,
                    reason:
                        "the vision tower's shape cannot be told from its tensors; give the tower's config.json with --vision-tower DIR"
                )
            }
            try inferred.validate()
            config = inferred
        }
        let processorFile = [directory, checkpoint.path].compactMap { $0.map { $0 + "/preprocessor_config.json" } }
            .first { FileManager.default.fileExists(atPath: $0) }
        processor =
            try processorFile.map { path in
                try CLIPImageProcessor(configuration: Array(Self.contents(of: path)), file: path)
            } ?? Self.standardProcessor(imageSize: config.imageSize)
        guard processor.cropSize == ImageSize(width: config.imageSize, height: config.imageSize), processor.doCenterCrop
        else {
            throw LLaVAError.malformed(
                path: processorFile ?? source,
                reason:
                    "images are cropped to \(processor.cropSize), but the tower takes \(config.imageSize) x \(config.imageSize)"
            )
        }
    }

    private static func besideWeights(of checkpoint: CheckpointDirectory) -> String? {
        let path = checkpoint.path + "/vision_tower"
        return FileManager.default.fileExists(atPath: path + "/config.json") ? path : nil
    }

    private static let configurations = ["config.json", "preprocessor_config.json"]

    private static func contents(of path: String) throws -> Data {
        do {
            return try Data(contentsOf: URL(filePath: path))
        } catch {
            throw CheckpointError.unreadable(path: path, reason: error.localizedDescription)
        }
    }

    private static func names(in directory: String) throws -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: directory)
        } catch {
            throw CheckpointError.unreadable(path: directory, reason: error.localizedDescription)
        }
    }

    private static func isWeights(_ name: String) -> Bool {
        name.hasSuffix(".safetensors") || name.hasSuffix(".bin")
    }

    /// CLIP's preprocessing at a given size.
    private static func standardProcessor(imageSize: Int) -> CLIPImageProcessor {
        var processor = CLIPImageProcessor()
        processor.size = .shortestEdge(imageSize)
        processor.cropSize = ImageSize(width: imageSize, height: imageSize)
        return processor
    }
}
