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

    /// Writes a model's directory with what was trained in place of the weights it began as; an older one is replaced.
    /// - Parameter visionTower: the tower it was trained with, if not its own.
    /// - Throws: `CheckpointError` if the model is not a directory of its own, or a file cannot be written.
    static func write(_ model: LLaVAModel, visionTower: String?, to target: URL) throws {
        try write(
            directory: model.path, parameters: model.parameters, statistics: [:], visionTower: visionTower, to: target)
    }

    /// Writes a checkpoint's directory with parameters and averages in place of the weights they began as.
    static func write(
        directory path: String, parameters: [Parameter], statistics: [String: RunningStatistics],
        visionTower: String? = nil, to target: URL
    ) throws {
        let source = try CheckpointDirectory(path: path)
        var tensors = source.tensors
        for (name, tensor) in Self.tensors(parameters, statistics) {
            guard tensors.updateValue(tensor, forKey: name) != nil else {
                throw CheckpointError.unwritable(path: target.path, reason: "\(name) is not a weight of \(path)")
            }
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
