import Foundation
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors

/// A model with its trained weights, written as a checkpoint of its own.
enum TrainedModel {
    /// Files beside weights that belong to a model.
    private static let companions = [
        "tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "chat_template.jinja", "generation_config.json", "preprocessor_config.json", "tokenizer.gguf", "vision_tower",
    ]

    /// Parameters and running averages under their names.
    static func tensors(_ parameters: [Parameter], _ statistics: [String: RunningStatistics]) -> [String: Tensor] {
        var tensors = Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.tensor.untracked) })
        for (prefix, averages) in statistics {
            tensors[prefix + "running_mean"] = Tensor(averages.mean, shape: [averages.mean.count])
            tensors[prefix + "running_var"] = Tensor(averages.variance, shape: [averages.variance.count])
        }
        return tensors
    }

    /// How the result of training a model is kept.
    enum Form {
        /// A directory like the one it began with; adapters are merged into the weights they stand beside.
        case directory
        /// An assembled model with another connector, and adapters beside it.
        case assembled
        /// Adapters alone, for a file that cannot be written again.
        case adapters

        /// The form for a model, all of whose parameters must have a place in it.
        /// - Throws: `RecipeError.invalid` for a parameter that has none.
        init(_ model: LLaVAModel, recipe: String) throws {
            let isConnector = { (name: String) in
                ["model.query_abstractor.", "model.mm_projector."].contains(where: name.hasPrefix)
                    || name == "model.image_newline"
            }
            let isAdapter = { (name: String) in name.contains(".lora_A.") || name.contains(".lora_B.") }
            let names = model.parameters.map(\.name).filter { !isAdapter($0) }
            func check(_ stray: String?, _ expected: String) throws {
                guard let stray else { return }
                throw RecipeError.invalid(file: recipe, key: "trainable", expected: expected, got: stray)
            }
            if AssembledModel.isAssembled(model.path) {
                self = .assembled
                try check(
                    names.first { !isConnector($0) },
                    "weights of the connector, which alone is written for a model of parts; use lora for its decoder")
            } else if model.layout.isGGUF {
                self = .adapters
                try check(names.first, "nothing beside lora for a GGUF file")
            } else {
                self = .directory
            }
        }
    }

    /// Writes what was trained of a model; an older result is replaced.
    ///
    /// Adapters are written beside it too, as `lora/`, whatever the form.
    /// - Parameter visionTower: the tower it was trained with, if not its own.
    /// - Throws: `CheckpointError` if a file cannot be written.
    static func write(_ model: LLaVAModel, as form: Form, visionTower: String?, to target: URL) throws {
        let plain = model.parameters.filter { parameter in
            !model.adapters.keys.contains { parameter.name.hasPrefix($0.dropLast("weight".count) + "lora_") }
        }
        if !model.adapters.isEmpty {
            let lora = target.deletingLastPathComponent().appending(path: "lora")
            try FileManager.default.createDirectory(at: lora, withIntermediateDirectories: true)
            try LowRankAdapterFiles.write(model.adapters, base: model.path, to: lora)
        }
        switch form {
        case .directory:
            try write(
                directory: model.path, parameters: plain, statistics: [:], adapters: model.adapters,
                visionTower: visionTower, to: target)
        case .assembled:
            try AssembledModel.write(
                trained: model.path, connector: tensors(plain, [:]), adapters: model.adapters, to: target)
        case .adapters: break
        }
    }

    /// Writes a checkpoint's directory with parameters and averages in place of the weights they began as.
    static func write(
        directory path: String, parameters: [Parameter], statistics: [String: RunningStatistics],
        adapters: [String: LowRankAdapter] = [:], visionTower: String? = nil, to target: URL
    ) throws {
        let source = try CheckpointDirectory(path: path)
        var tensors = source.tensors
        for (name, tensor) in Self.tensors(parameters, statistics) {
            guard tensors.updateValue(tensor, forKey: name) != nil else {
                throw CheckpointError.unwritable(path: target.path, reason: "\(name) is not a weight of \(path)")
            }
        }
        for (name, adapter) in adapters {
            guard let weight = tensors[name] else { continue }
            let merged = adapter.merged(into: weight)
            tensors[name] = weight.elementType == .float32 ? merged : try merged.converted(to: weight.elementType)
        }
        let manager = FileManager.default
        let draft = target.deletingLastPathComponent().appending(path: ".\(target.lastPathComponent).partial")
        try? manager.removeItem(at: draft)
        try manager.createDirectory(at: draft, withIntermediateDirectories: true)
        try SafetensorsWriter.write(
            tensors, metadata: ["format": "pt"], to: draft.appending(path: "model.safetensors").path)
        var config = try JSONSerialization.jsonObject(with: source.configData) as? [String: Any] ?? [:]
        config["untrained"] = nil
        try JSONSerialization.data(withJSONObject: config, options: [.prettyPrinted, .sortedKeys])
            .write(to: draft.appending(path: "config.json"))
        for name in companions {
            let own = source.directory.appending(path: name)
            let file = name == "vision_tower" ? visionTower.map { URL(filePath: $0) } ?? own : own
            guard manager.fileExists(atPath: file.path) else { continue }
            try manager.copyItem(at: file, to: draft.appending(path: name))
        }
        if manager.fileExists(atPath: target.path) { try manager.removeItem(at: target) }
        try manager.moveItem(at: draft, to: target)
    }
}
