import Foundation
public import ModelFiles
public import Tensors
public import VisionEncoder

/// A DINOv2 vision tower taken out of an ONNX model, to be written as a directory that Hugging Face's `Dinov2Model` and
/// this package read: `config.json`, `model.safetensors`, `preprocessor_config.json`.
///
/// The model may hold the tower under a prefix, as the backbone of something larger, whose other weights are left out.
/// An exporter folds the learned positions into two constants, one for the class token and one for the patches; they are
/// put together again.
public struct Dinov2Conversion: Sendable {
    /// The tower's shape.
    public let config: Dinov2Config
    /// The weights under the names of `Dinov2Model`.
    public let tensors: [String: Tensor]
    /// Weights of the model that are not the tower's, by name.
    public let leftOut: [String]
    /// What stood before the tower's names: `backbone.`, or nothing.
    public let prefix: String

    /// Finds the tower in `model`. Weights stored the other way round are copied: `ONNXFile.transposedByteCount` bytes.
    /// - Parameter numAttentionHeads: leaves no trace in the weights; nil for heads of size 64.
    /// - Throws: `LLaVAError.malformed` if there is no whole tower, `CheckpointError`.
    public init(_ model: ONNXFile, numAttentionHeads: Int? = nil) throws {
        func failure(_ reason: String) -> LLaVAError { .malformed(path: model.path, reason: reason) }
        let anchor = "encoder.layer.0.layer_scale1.lambda1"
        var weights = try model.weights()
        let anchors = weights.keys.filter { ".\($0)".hasSuffix(".\(anchor)") }
        guard let scope = anchors.min().map({ String($0.dropLast(anchor.count)) }) else {
            throw failure("holds no DINOv2 vision tower: no weight is called \(anchor)")
        }
        prefix = scope

        var tensors: [String: Tensor] = [:]
        let parts = ["embeddings.", "encoder.layer.", "layernorm."].map { scope + $0 }
        for (name, tensor) in weights where parts.contains(where: name.hasPrefix) {
            tensors[String(name.dropFirst(scope.count))] = tensor
            weights[name] = nil
        }
        let key = "embeddings.position_embeddings"
        if tensors[key] == nil, let size = tensors["embeddings.cls_token"]?.columns,
            let (names, positions) = Self.positions(of: model, size: size, among: weights)
        {
            tensors[key] = positions
            for name in names { weights[name] = nil }
        }
        guard let config = Dinov2Config(weights: tensors, numAttentionHeads: numAttentionHeads) else {
            throw failure(
                "the DINOv2 tower's shape cannot be told from its weights: patch projection "
                    + "\(tensors["embeddings.patch_embeddings.projection.weight"]?.shape ?? []), positions "
                    + "\(tensors[key]?.shape ?? [])")
        }
        self.config = config
        self.tensors = tensors
        leftOut = weights.keys.sorted()
    }

    /// Learned positions that were folded into a constant `[1, 1, D]` and another `[1, N, D]`: those that operations of
    /// one module read, N a square number.
    private static func positions(
        of model: ONNXFile, size: Int, among weights: [String: Tensor]
    ) -> (names: [String], positions: Tensor)? {
        func folded(_ isWanted: (Int) -> Bool) -> [(name: String, modules: Set<String>)] {
            model.initializers.filter { initializer in
                weights[initializer.name] != nil && initializer.shape.count == 3 && initializer.shape[0] == 1
                    && initializer.shape[2] == size && isWanted(initializer.shape[1])
            }.map { ($0.name, Set(model.nodes(reading: $0.name).compactMap(\.module))) }
        }
        for first in folded({ $0 == 1 }) {
            for patches in folded({ $0 > 1 && isSquare($0) }) where !first.modules.isDisjoint(with: patches.modules) {
                guard let one = weights[first.name]?.widened, let many = weights[patches.name]?.widened else {
                    continue
                }
                let rows = Tensor.concatenatingRows([one, many])
                return ([first.name, patches.name], rows.reshaped(to: [1, rows.rows, size]))
            }
        }
        return nil
    }

    private static func isSquare(_ count: Int) -> Bool {
        let side = Int(Double(count).squareRoot().rounded())
        return side * side == count
    }
}

// MARK: - Writing

extension Dinov2Conversion {
    /// Writes the tower's directory; files of the same names are replaced, each whole or not at all.
    /// - Parameter processor: the steps from a picture to the tower.
    /// - Throws: `CheckpointError.unwritable`, or Foundation's error if the directory cannot be made.
    public func write(to directory: String, processor: CLIPImageProcessor = .dinov2) throws {
        let url = URL(filePath: directory)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        let weights = url.appending(path: "model.safetensors").path
        try SafetensorsWriter.write(tensors, metadata: ["format": "pt"], to: weights)
        try configData.write(to: url.appending(path: "config.json"), options: .atomic)
        try ProcessorFile(processor).data
            .write(to: url.appending(path: ProcessorFile.name), options: .atomic)
    }

    /// `config.json` of a `Dinov2Model`.
    var configData: Data { get throws { try JSONEncoder.huggingFace.encode(ConfigFile(config)) } }
}

/// `config.json` of a `Dinov2Model`.
private struct ConfigFile: Encodable {
    let architectures = ["Dinov2Model"]
    let modelType = "dinov2"
    let hiddenSize, numHiddenLayers, numAttentionHeads, numChannels, imageSize, patchSize: Int
    let mlpRatio: Double
    let layerNormEps: Float
    let hiddenAct = "gelu"
    let qkvBias: Bool
    let useSwigluFfn = false

    init(_ config: Dinov2Config) {
        let shape = config.transformer
        (hiddenSize, numHiddenLayers) = (shape.hiddenSize, shape.numHiddenLayers)
        (numAttentionHeads, numChannels) = (shape.numAttentionHeads, shape.numChannels)
        (imageSize, patchSize) = (shape.imageSize, shape.patchSize)
        mlpRatio = Double(shape.intermediateSize) / Double(shape.hiddenSize)
        layerNormEps = shape.layerNormEps
        qkvBias = config.qkvBias
    }
}
