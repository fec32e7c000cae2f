import Foundation
import LanguageDecoder
import MQT
public import ModelFiles
import NeuralNetwork
import PMoD
public import Tensors
import VisionEncoder

/// A model whose weights are drawn: where training from scratch begins, and what the shape of a model costs.
///
/// A directory of configuration files becomes a checkpoint with the same files and random weights beside them:
///
///     config.json, tokenizer...                      + model.safetensors
///     vision_tower/config.json, preprocessor...      + vision_tower/model.safetensors
///
/// The directory may be that of a tower alone. Where config.json asks for a query transformer, `num_visual_tokens` says
/// how many queries it gets.
public enum RandomModel {
    /// What was written.
    public struct Summary: Sendable, Equatable, Codable {
        /// Number of weights by the file they are in, relative to the directory.
        public var weights: [String: Int]
    }

    /// Writes a model; the same seed and configuration give the same bytes.
    /// - Parameters:
    ///   - source: directory of the configuration.
    ///   - target: directory to make; must not exist.
    ///   - type: what the matrices of towers and decoders are written in, float32 or float16.
    ///   - progress: is told how far it has come.
    /// - Throws: `CheckpointError` for what cannot be read or written, or the error of a configuration.
    @discardableResult
    public static func write(
        configuration source: String, to target: String, seed: UInt64, as type: ElementType = .float32,
        progress: @escaping WeightsProgress.Observer = { _ in }
    ) throws -> Summary {
        let manager = FileManager.default
        guard !manager.fileExists(atPath: target) else {
            throw CheckpointError.unwritable(path: target, reason: "it exists already; name another directory")
        }
        let (from, to) = (URL(filePath: source), URL(filePath: target))
        let draft = to.deletingLastPathComponent().appending(path: ".\(to.lastPathComponent).partial")
        try? manager.removeItem(at: draft)
        do {
            try manager.createDirectory(
                at: draft.deletingLastPathComponent(), withIntermediateDirectories: true)
            try manager.copyItem(at: from, to: draft)
            var summary = Summary(weights: [:])
            for (index, part) in ["", "vision_tower/"].enumerated() {
                let config = draft.appending(path: part + "config.json").path
                guard index == 0 || manager.fileExists(atPath: config) else { continue }
                let weights = try drawn(config, WeightInitializer(seed: seed &+ UInt64(index)), type, progress)
                let file = part + "model.safetensors"
                try SafetensorsWriter.write(
                    weights, metadata: ["format": "pt"], to: draft.appending(path: file).path, progress: progress)
                summary.weights[file] = weights.values.reduce(0) { $0 + $1.count }
            }
            try manager.moveItem(at: draft, to: to)
            return summary
        } catch {
            try? manager.removeItem(at: draft)
            throw error
        }
    }

    private struct Kind: Decodable {
        var modelType: String?
    }

    /// The weights that a configuration describes.
    private static func drawn(
        _ path: String, _ initializer: WeightInitializer, _ type: ElementType,
        _ progress: @escaping WeightsProgress.Observer
    ) throws -> [String: Tensor] {
        switch try JSONFile.decode(Kind.self, from: path).modelType {
        case HybridVisionConfig.modelType:
            let reader = WeightReader(drawing: initializer, as: type) {
                progress(WeightsProgress(.drawing, done: $0, total: nil))
            }
            _ = VisionTransformer(hybrid: try JSONFile.decode(HybridVisionConfig.self, from: path), reader)
            return reader.drawn
        case "clip_vision_model":
            let reader = WeightReader(drawing: initializer, as: type) {
                progress(WeightsProgress(.drawing, done: $0, total: nil))
            }
            let config = try JSONFile.decode(CLIPVisionConfig.self, from: path).transformer
            _ = VisionTransformer(clip: config, reader.scoped("vision_model"))
            return reader.drawn
        case "dinov2":
            let reader = WeightReader(drawing: initializer, as: type) {
                progress(WeightsProgress(.drawing, done: $0, total: nil))
            }
            _ = VisionTransformer(dinov2: try JSONFile.decode(Dinov2Config.self, from: path), reader)
            return reader.drawn
        default: return try drawnDecoder(path, initializer, type, progress)
        }
    }

    private static func drawnDecoder(
        _ path: String, _ initializer: WeightInitializer, _ type: ElementType,
        _ progress: @escaping WeightsProgress.Observer
    ) throws -> [String: Tensor] {
        var initializer = initializer
        let config = try JSONFile.decode(LLaVAConfig.self, from: path)
        var connector: [String: Tensor] = [:]
        if config.mmVisionTower != nil {
            let tower = URL(filePath: path).deletingLastPathComponent().appending(path: "vision_tower/config.json")
            let featureSize = try JSONFile.decode(Width.self, from: tower.path).hiddenSize
            guard (4...1 << 16).contains(featureSize), featureSize.isMultiple(of: 4) else {
                throw LLaVAError.unsupported(
                    key: "hidden_size of the vision tower", value: "\(featureSize)", supported: "a multiple of 4")
            }
            connector = try drawnConnector(config, featureSize: featureSize, &initializer)
        }
        let reader = WeightReader(drawing: initializer, as: type) {
            progress(WeightsProgress(.drawing, done: $0, total: nil))
        }
        _ =
            if let pmod = config.pmod {
                LlamaModel(config.llama, pmod: pmod, reader)
            } else {
                LlamaModel(config.llama, reader)
            }
        return reader.drawn.merging(connector) { _, new in new }
    }

    private struct Width: Decodable {
        var hiddenSize: Int
    }

    private static func drawnConnector(
        _ config: LLaVAConfig, featureSize: Int, _ initializer: inout WeightInitializer
    ) throws -> [String: Tensor] {
        let (weights, prefix): ([String: Tensor], String)
        if config.isElastic {
            let tokens = config.numVisualTokens ?? 256
            let side = Int(Double(max(0, tokens)).squareRoot().rounded())
            guard (1...4096).contains(tokens), side * side == tokens else {
                throw LLaVAError.unsupported(
                    key: "num_visual_tokens", value: "\(tokens)", supported: "a square number up to 4096")
            }
            prefix = "model.query_abstractor."
            // A form of ours is not bound to the published start.
            let isPublished = config.queryAbstractorKeys == "positions" && config.queryAbstractorValues == "features"
            weights = try QueryTransformer.freshWeights(
                maximumTokens: tokens, featureSize: featureSize, tokenSize: config.llama.hiddenSize,
                isLocal: !isPublished, &initializer)
        } else {
            guard let layers = MultimodalProjector.layerCount(ofType: config.mmProjectorType) else {
                throw LLaVAError.unsupported(
                    key: "mm_projector_type", value: config.mmProjectorType, supported: "linear or mlpNx_gelu")
            }
            prefix = "model.mm_projector."
            weights = MultimodalProjector.freshWeights(
                layers: layers, featureSize: featureSize, tokenSize: config.llama.hiddenSize, &initializer)
        }
        return Dictionary(uniqueKeysWithValues: weights.map { (prefix + $0.key, $0.value) })
    }
}
