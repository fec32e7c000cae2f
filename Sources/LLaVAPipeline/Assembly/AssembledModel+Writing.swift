public import Foundation
import LanguageDecoder
import ModelFiles
import MQT
public import NeuralNetwork
public import Tensors
import VisionEncoder

extension AssembledModel {
    /// What lies between tower and decoder.
    public enum ConnectorSource: Sendable, Equatable {
        /// A file of a query transformer or projector that was trained.
        case file(String)
        /// A query transformer of M random queries, to be trained.
        case queryTransformer(maximumTokens: Int, seed: UInt64)
        /// Linear layers with random weights and GELU between them, to be trained.
        case projector(layers: Int, seed: UInt64)
    }

    /// Writes a directory with `model.json`, and with `connector.safetensors` if the connector is a new one, and loads
    /// the model to see that the parts fit.
    ///
    /// Nothing is left behind when they do not.
    /// - Parameters:
    ///   - directory: must not exist yet.
    ///   - config: keys of config.json, such as `mm_vision_select_layer`; values as JSON or plain words.
    /// - Throws: `LLaVAError` or `CheckpointError` for parts that are missing, damaged or do not fit.
    public static func write(
        decoder: String, visionTower: String, connector: ConnectorSource,
        config overrides: [(key: String, value: String)],
        to directory: String
    ) throws -> LLaVAModel {
        guard !FileManager.default.fileExists(atPath: directory) else {
            throw CheckpointError.unwritable(path: directory, reason: "it exists already; name a new directory")
        }
        let target = URL(filePath: directory)
        let draft = target.deletingLastPathComponent()
            .appending(path: ".\(target.lastPathComponent).\(UUID().uuidString).partial")
        try FileManager.default.createDirectory(at: draft, withIntermediateDirectories: true)
        do {
            try make(decoder: decoder, visionTower: visionTower, connector, overrides, in: draft)
            _ = try LLaVAModel.load(from: draft.path)
            try FileManager.default.moveItem(at: draft, to: target)
        } catch {
            try? FileManager.default.removeItem(at: draft)
            throw error
        }
        return try LLaVAModel.load(from: directory)
    }

    private static func make(
        decoder: String, visionTower: String, _ connector: ConnectorSource,
        _ overrides: [(key: String, value: String)], in draft: URL
    ) throws {
        var config: [String: ConfigValue] = [
            "mm_vision_tower": .string(URL(filePath: visionTower).lastPathComponent),
            "mm_vision_select_feature": .string("patch"),
        ]
        for (key, value) in overrides {
            config[key] =
                (try? JSONDecoder().decode(ConfigValue.self, from: Data(value.utf8))) ?? .string(value)
        }
        var connectorPath = draft.appending(path: "connector.safetensors").path
        var recordedPath = "connector.safetensors"
        switch connector {
        case .file(let path):
            (connectorPath, recordedPath) = (absolute(path), absolute(path))
        case .queryTransformer(let tokens, let seed):
            config["untrained"] = .bool(true)
            config["query_abstractor_type"] = .string("matry_query")
            let (featureSize, tokenSize) = try sizes(decoder: decoder, visionTower: visionTower)
            var initializer = WeightInitializer(seed: seed)
            let side = Int(Double(tokens).squareRoot().rounded())
            guard (1...4096).contains(tokens), side * side == tokens, featureSize % 4 == 0 else {
                throw LLaVAError.unsupported(
                    key: "query_abstractor.query", value: "\(tokens) rows",
                    supported: "a square number of queries up to 4096")
            }
            let weights = try QueryTransformer.freshWeights(
                maximumTokens: tokens, featureSize: featureSize, tokenSize: tokenSize, &initializer)
            try write(weights, prefix: "model.query_abstractor.", to: connectorPath)
        case .projector(let layers, let seed):
            config["untrained"] = .bool(true)
            let (featureSize, tokenSize) = try sizes(decoder: decoder, visionTower: visionTower)
            guard (1...8).contains(layers) else {
                throw LLaVAError.unsupported(key: "mm_projector_type", value: "\(layers) layers", supported: "1...8")
            }
            var initializer = WeightInitializer(seed: seed)
            try write(
                MultimodalProjector.freshWeights(
                    layers: layers, featureSize: featureSize, tokenSize: tokenSize, &initializer),
                prefix: "model.mm_projector.", to: connectorPath)
        }
        let model = AssembledModel(
            decoder: try Part(path: absolute(decoder), recordedAs: absolute(decoder)),
            visionTower: try Part(path: absolute(visionTower), recordedAs: absolute(visionTower)),
            connector: try Part(path: connectorPath, recordedAs: recordedPath), config: config)
        try model.write(in: draft)
    }

    /// Writes an assembled model again after training: the same decoder and tower, another connector, and adapters.
    /// - Parameters:
    ///   - source: the model that training began with.
    ///   - connector: the connector's weights that were trained, under their names in a whole checkpoint.
    ///   - adapters: by the names of the weights they stand beside.
    ///   - target: replaced if it is there.
    /// - Throws: `CheckpointError` or `LLaVAError`.
    public static func write(
        trained source: String, connector: [String: Tensor], adapters: [String: LowRankAdapter], to target: URL
    ) throws {
        guard let (found, directory) = try find(at: source) else {
            throw LLaVAError.malformed(path: source, reason: "holds no \(fileName)")
        }
        var model = found
        let manager = FileManager.default
        let draft = target.deletingLastPathComponent().appending(path: ".\(target.lastPathComponent).partial")
        try? manager.removeItem(at: draft)
        try manager.createDirectory(at: draft, withIntermediateDirectories: true)
        let old = try CheckpointDirectory(path: located(model.connector.path, in: directory)).tensors
        let weights = draft.appending(path: "connector.safetensors").path
        try SafetensorsWriter.write(
            old.merging(connector) { _, new in new }, metadata: ["format": "pt"], to: weights)
        model.connector = try Part(path: weights, recordedAs: "connector.safetensors")
        model.decoder.path = located(model.decoder.path, in: directory)
        model.visionTower.path = located(model.visionTower.path, in: directory)
        if !adapters.isEmpty {
            let lora = draft.appending(path: "lora")
            try manager.createDirectory(at: lora, withIntermediateDirectories: true)
            try LowRankAdapterFiles.write(adapters, base: model.decoder.path, to: lora)
            model.lora = try Part(
                directory: lora, names: LowRankAdapterFiles.names, recordedAs: "lora")
        }
        model.config["untrained"] = nil
        try model.write(in: draft)
        if manager.fileExists(atPath: target.path) { try manager.removeItem(at: target) }
        try manager.moveItem(at: draft, to: target)
    }

    /// Writes `model.json` into a directory.
    func write(in directory: URL) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        try encoder.encode(self).write(to: directory.appending(path: Self.fileName), options: .atomic)
    }

    private static func absolute(_ path: String) -> String { URL(filePath: path).standardizedFileURL.path }

    private static func write(_ weights: [String: Tensor], prefix: String, to path: String) throws {
        let named = Dictionary(uniqueKeysWithValues: weights.map { (prefix + $0.key, $0.value) })
        try SafetensorsWriter.write(named, metadata: ["format": "pt"], to: path)
    }

    /// The widths that a connector must join.
    private static func sizes(decoder: String, visionTower: String) throws -> (featureSize: Int, tokenSize: Int) {
        let tower = try VisionTowerFiles(of: CheckpointDirectory(path: decoder), named: visionTower, in: visionTower)
        return (tower.tower.config.hiddenSize, try LLaVAModel.load(from: decoder).config.llama.hiddenSize)
    }
}

extension MultimodalProjector {
    /// The weights of a projector that is to be trained: those of PyTorch's `Linear`, uniform within D^-½ of the inputs.
    static func freshWeights(
        layers: Int, featureSize: Int, tokenSize: Int, _ initializer: inout WeightInitializer
    ) -> [String: Tensor] {
        var weights: [String: Tensor] = [:]
        for layer in 0..<layers {
            let inputs = layer == 0 ? featureSize : tokenSize
            let bound = 1 / Float(inputs).squareRoot()
            let prefix = layers == 1 ? "" : "\(2 * layer)."
            weights[prefix + "weight"] = initializer.uniform([tokenSize, inputs], bound: bound)
            weights[prefix + "bias"] = initializer.uniform([tokenSize], bound: bound)
        }
        return weights
    }
}
