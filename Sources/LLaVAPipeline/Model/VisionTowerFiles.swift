import Foundation
import ModelFiles
import NeuralNetwork
import Tensors
import VisionEncoder

/// Where a model's vision tower comes from: its shape, its preprocessing and its weights.
///
/// The tower may lie in a place of its own, given by the caller or as `vision_tower/` beside the weights: a directory of
/// CLIP or DINOv2 with or without weights, or an ONNX file with a DINOv2 tower in it. Or it lies only inside the
/// checkpoint, where the shape of its tensors tells all but the number of heads, which in every published CLIP tower have
/// size 64.
struct VisionTowerFiles {
    let tower: VisionTransformer
    let processor: CLIPImageProcessor
    /// The file or directory that the weights are in.
    let weightsPath: String

    /// Names that the original code puts before the tower's own in a whole checkpoint.
    static let checkpointPrefix = "model.vision_tower.vision_tower.vision_model"

    /// Finds the tower of a checkpoint.
    /// - Parameters:
    ///   - path: the directory or file that the caller gave; nil for none.
    ///   - blocks: what native products round the weights to.
    /// - Throws: `LLaVAError.missingVisionTower` if there are no weights, or what is wrong with a file.
    init(
        of checkpoint: CheckpointDirectory, named name: String, in path: String?, quantizedTo blocks: ElementType? = nil
    ) throws {
        let path = path ?? Self.besideWeights(of: checkpoint)
        let place = try path.map(Place.init)
        let isInside = checkpoint.tensors.keys.contains { $0.hasPrefix(Self.checkpointPrefix + ".") }
        let family: Family
        if let place, place.holdsWeights {
            family = try Family(separate: place, quantizedTo: blocks) { _ in false }
            weightsPath = place.path
        } else if isInside {
            weightsPath = checkpoint.path
            family = .clip(
                try Self.shape(of: checkpoint, in: place),
                WeightReader(checkpoint.tensors).quantizing(to: blocks).scoped(Self.checkpointPrefix),
                source: checkpoint.path)
        } else {
            throw LLaVAError.missingVisionTower(name: name, checkpoint: checkpoint.path)
        }
        processor = try Self.processor(of: family, in: [place?.directory, checkpoint.path].compactMap(\.self))
        tower = try family.tower()
    }

    /// The tower that lies in a place of its own.
    /// - Parameters:
    ///   - blocks: what native products round the weights of linear maps to; nil for none.
    ///   - isTrained: the names of the weights that become parameters.
    /// - Returns: the tower, and the reader that knows its parameters and running averages.
    static func separate(
        at path: String, quantizedTo blocks: ElementType?, training isTrained: @escaping (String) -> Bool
    ) throws -> (tower: VisionTransformer, processor: CLIPImageProcessor, reader: WeightReader) {
        let place = try Place(path)
        let family = try Family(separate: place, quantizedTo: blocks, training: isTrained)
        return (try family.tower(), try processor(of: family, in: [place.directory]), family.reader)
    }

    /// The preprocessing that a file in one of the directories describes, or else the family's own.
    private static func processor(of family: Family, in directories: [String]) throws -> CLIPImageProcessor {
        let file = directories.map { $0 + "/preprocessor_config.json" }
            .first { FileManager.default.fileExists(atPath: $0) }
        let processor =
            try file.map { path in
                try CLIPImageProcessor(configuration: Array(contents(of: path)), file: path)
            } ?? family.standardProcessor
        let crop = processor.cropSize
        guard processor.doCenterCrop, family.takes(crop) else {
            throw LLaVAError.malformed(
                path: file ?? family.source,
                reason: processor.doCenterCrop
                    ? "images are cropped to \(crop), but the tower takes \(family.inputs)"
                    : "images are not cropped, but the tower takes \(family.inputs)")
        }
        return processor
    }

    /// The shape of a CLIP tower whose weights are inside the checkpoint: by its own configuration or by its tensors.
    private static func shape(
        of checkpoint: CheckpointDirectory, in place: Place?
    ) throws -> VisionTransformerConfig {
        if let place, place.files.contains("config.json") {
            return try JSONFile.decode(CLIPVisionConfig.self, from: place.directory + "/config.json").transformer
        }
        guard let inferred = VisionTransformerConfig(clipWeights: checkpoint.tensors, prefix: Self.checkpointPrefix)
        else {
            throw LLaVAError.malformed(
                path: checkpoint.path,
                reason:
                    "the vision tower's shape cannot be told from its tensors; give the tower's config.json with --vision-tower DIR"
            )
        }
        try inferred.validate()
        return inferred
    }

    private static func besideWeights(of checkpoint: CheckpointDirectory) -> String? {
        let path = checkpoint.path + "/vision_tower"
        return FileManager.default.fileExists(atPath: path + "/config.json") ? path : nil
    }

    private static func contents(of path: String) throws -> Data {
        do {
            return try Data(contentsOf: URL(filePath: path))
        } catch {
            throw CheckpointError.unreadable(path: path, reason: error.localizedDescription)
        }
    }
}

/// A directory or file that somebody gave as a vision tower.
private struct Place {
    let path: String
    /// The directory, or the one the file lies in.
    let directory: String
    /// Names in the directory.
    let files: [String]
    let holdsWeights: Bool

    private static let configurations = ["config.json", "preprocessor_config.json"]

    init(_ path: String) throws {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw CheckpointError.unreadable(path: path, reason: "no such file or directory")
        }
        self.path = path
        directory = isDirectory.boolValue ? path : URL(filePath: path).deletingLastPathComponent().path
        do {
            files = try FileManager.default.contentsOfDirectory(atPath: directory)
        } catch {
            throw CheckpointError.unreadable(path: directory, reason: error.localizedDescription)
        }
        let endings = [".safetensors", ".bin", ".gguf", ".onnx"]
        holdsWeights = !isDirectory.boolValue || files.contains { name in endings.contains(where: name.hasSuffix) }
        guard holdsWeights || files.contains(where: Self.configurations.contains) else {
            throw LLaVAError.malformed(
                path: path,
                reason: "holds no \(Self.configurations.joined(separator: ", no ")) and no weights of a vision tower")
        }
    }
}

/// A tower of one family, before it is built.
private enum Family {
    case clip(VisionTransformerConfig, WeightReader, source: String)
    case dinov2(Dinov2Config, WeightReader, source: String)
    case hybrid(HybridVisionConfig, WeightReader, source: String)

    /// The tower that lies in a place of its own.
    /// - Parameters:
    ///   - blocks: what native products round the weights to.
    ///   - isTrained: the weights that become parameters.
    init(
        separate place: Place, quantizedTo blocks: ElementType? = nil, training isTrained: @escaping (String) -> Bool
    ) throws {
        let checkpoint = try CheckpointDirectory(path: place.path)
        if let file = checkpoint.files.first, file.format == .onnx {
            let path = checkpoint.path
            let conversion = try Dinov2Conversion(ONNXFile(path: path))
            let reader = WeightReader(conversion.tensors).quantizing(to: blocks)
            self = .dinov2(conversion.config, reader, source: path)
            return
        }
        let reader = WeightReader(checkpoint.tensors, training: isTrained).quantizing(to: blocks)
        switch checkpoint.layout {
        case .clip, .clipVision:
            self = .clip(
                try checkpoint.decodeConfig(CLIPVisionConfig.self).transformer,
                reader.scoped("vision_model"), source: place.path)
        case .dinov2Vision:
            self = .dinov2(
                try checkpoint.decodeConfig(Dinov2Config.self),
                reader, source: place.path)
        case .hybridVision:
            self = .hybrid(
                try checkpoint.decodeConfig(HybridVisionConfig.self),
                reader, source: place.path)
        default:
            throw LLaVAError.malformed(
                path: place.path, reason: "holds \(checkpoint.layout), expected a CLIP, DINOv2 or hybrid vision tower")
        }
    }

    /// What hands out the weights.
    var reader: WeightReader {
        switch self {
        case .clip(_, let weights, _), .dinov2(_, let weights, _), .hybrid(_, let weights, _): weights
        }
    }

    var source: String {
        switch self {
        case .clip(_, _, let source), .dinov2(_, _, let source), .hybrid(_, _, let source): source
        }
    }

    /// Reads the weights.
    func tower() throws -> VisionTransformer {
        let tower: VisionTransformer
        switch self {
        case .clip(let config, let weights, let source):
            try weights.require(config.clipAnchors, source: source)
            tower = VisionTransformer(clip: config, weights)
            try weights.finish(source: source)
        case .dinov2(let config, let weights, let source):
            try weights.require(config.anchors, source: source)
            tower = VisionTransformer(dinov2: config, weights)
            try weights.finish(source: source)
        case .hybrid(let config, let weights, let source):
            try weights.require(config.anchors, source: source)
            tower = VisionTransformer(hybrid: config, weights)
            try weights.finish(source: source)
        }
        return tower
    }

    /// The preprocessing that the family was trained with.
    var standardProcessor: CLIPImageProcessor {
        switch self {
        case .clip(let config, _, _): return .clip(side: config.imageSize)
        case .hybrid(let config, _, _): return .clip(side: config.transformer.imageSize)
        case .dinov2:
            return .dinov2
        }
    }

    /// Whether the tower takes images of a size: CLIP its own alone, DINOv2 every square one, to which its positions are
    /// interpolated.
    func takes(_ size: ImageSize) -> Bool {
        switch self {
        case .clip(let config, _, _): size == ImageSize(width: config.imageSize, height: config.imageSize)
        case .hybrid(let config, _, _):
            size == ImageSize(width: config.transformer.imageSize, height: config.transformer.imageSize)
        case .dinov2(let config, _, _): size.width == size.height && size.width >= config.transformer.patchSize
        }
    }

    /// The sizes it takes, for messages.
    var inputs: String {
        switch self {
        case .clip(let config, _, _): "\(config.imageSize) x \(config.imageSize)"
        case .hybrid(let config, _, _): "\(config.transformer.imageSize) x \(config.transformer.imageSize)"
        case .dinov2(let config, _, _): "squares of at least \(config.transformer.patchSize) pixels"
        }
    }
}
