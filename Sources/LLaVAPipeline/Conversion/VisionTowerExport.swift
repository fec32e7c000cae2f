import Foundation
import ModelFiles
import Tensors
import VisionEncoder

/// The vision tower of a model, ready to be written as a directory of its own.
struct VisionTowerExport {
    /// Under the names of the tower's own family.
    let tensors: [String: Tensor]
    /// `config.json`.
    let config: Data
    /// The steps from a picture to the tower.
    let processor: CLIPImageProcessor

    /// Takes a loaded model's tower out of whatever its weights lie in.
    init(of vision: LLaVAModel.Vision, in checkpoint: CheckpointDirectory) throws {
        processor = vision.imageProcessor
        if vision.weightsPath == checkpoint.path {
            let inner = ".vision_model"
            let outer = VisionTowerFiles.checkpointPrefix.dropLast(inner.count) + "."
            tensors = checkpoint.tensors.strippingPrefix(String(outer))
            config = try JSONEncoder.huggingFace.encode(CLIPConfigFile(vision.tower.config))
            return
        }
        let place = try CheckpointDirectory(path: vision.weightsPath)
        if place.files.first?.format == .onnx {
            let conversion = try Dinov2Conversion(ONNXFile(path: place.path))
            tensors = conversion.tensors
            config = try conversion.configData
        } else {
            // Of a whole CLIP model the other tower, that for text, is left behind.
            let isCLIP = place.tensors.keys.contains { $0.hasPrefix("vision_model.") }
            tensors = isCLIP ? place.tensors.filter { $0.key.hasPrefix("vision_model.") } : place.tensors
            config = place.configData
        }
    }

    /// Whether a tensor is the weight of a linear map of a block, which is what may be rounded: embeddings, positions,
    /// convolutions, norms and biases are small, and stay.
    static func isMap(_ name: String, _ tensor: Tensor) -> Bool {
        tensor.rank == 2 && tensor.elementType.isFloatingPoint && name.hasSuffix(".weight")
            && !name.contains("embedding")
    }

    /// Writes `config.json`, `preprocessor_config.json` and the weights: `model.safetensors`, or `model.gguf` where
    /// some are blocks, which safetensors cannot hold.
    /// - Parameter type: of the linear maps; nil for what they are stored in.
    /// - Returns: the name of the file of weights.
    func write(
        to directory: URL, as type: ElementType?, progress: WeightsProgress.Observer
    ) throws -> String {
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try config.write(to: directory.appending(path: "config.json"), options: .atomic)
        try ProcessorFile(processor).data.write(to: directory.appending(path: ProcessorFile.name), options: .atomic)
        let pending = try Dictionary(
            uniqueKeysWithValues: tensors.map { name, tensor in
                guard let type, Self.isMap(name, tensor) else { return (name, PendingTensor(tensor)) }
                return (name, try PendingTensor(tensor, as: type.fitting(tensor.shape)))
            })
        let hasBlocks = pending.values.contains { $0.elementType.isBlockQuantized }
        let name = hasBlocks ? "model.gguf" : "model.safetensors"
        let path = directory.appending(path: name).path
        if hasBlocks {
            let metadata = [GGUFCheckpoint.architectureKey: GGUFValue.string(GGUFFile.tensorsAlone)]
            try GGUFWriter.write(making: pending, metadata: metadata, to: path, progress: progress)
        } else {
            try SafetensorsWriter.write(making: pending, metadata: ["format": "pt"], to: path, progress: progress)
        }
        return name
    }
}

extension [String: Tensor] {
    /// The tensors whose names begin with `prefix`, without it.
    fileprivate func strippingPrefix(_ prefix: String) -> [String: Tensor] {
        Dictionary(
            uniqueKeysWithValues: filter { $0.key.hasPrefix(prefix) }
                .map { (String($0.key.dropFirst(prefix.count)), $0.value) })
    }
}

/// `config.json` of a `CLIPVisionModel`.
private struct CLIPConfigFile: Encodable {
    let architectures = ["CLIPVisionModel"]
    let modelType = "clip_vision_model"
    let hiddenSize, intermediateSize, numHiddenLayers, numAttentionHeads, numChannels, imageSize, patchSize: Int
    let layerNormEps: Float
    let hiddenAct: String

    init(_ config: VisionTransformerConfig) {
        (hiddenSize, intermediateSize) = (config.hiddenSize, config.intermediateSize)
        (numHiddenLayers, numAttentionHeads) = (config.numHiddenLayers, config.numAttentionHeads)
        (numChannels, imageSize, patchSize) = (config.numChannels, config.imageSize, config.patchSize)
        layerNormEps = config.layerNormEps
        hiddenAct = config.hiddenAct == .gelu ? "gelu" : "quick_gelu"
    }
}
