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

    /// Writes the checkpoint's directory with the parameters in place of the weights they began as; an older one is
    /// replaced.
    /// - Throws: `CheckpointError` if the model is not a directory of its own, or a file cannot be written.
    static func write(_ model: LLaVAModel, to target: URL) throws {
        let source = try CheckpointDirectory(path: model.path)
        var tensors = source.tensors
        for parameter in model.parameters {
            guard tensors.updateValue(parameter.tensor.untracked, forKey: parameter.name) != nil else {
                throw CheckpointError.unwritable(
                    path: target.path, reason: "\(parameter.name) is not a weight of \(model.path)")
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
            let file = source.directory.appending(path: name)
            guard manager.fileExists(atPath: file.path) else { continue }
            try manager.copyItem(at: file, to: draft.appending(path: name))
        }
        if manager.fileExists(atPath: target.path) { try manager.removeItem(at: target) }
        try manager.moveItem(at: draft, to: target)
    }
}
