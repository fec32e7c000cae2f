public import Foundation
import ModelFiles
public import NeuralNetwork
import Tensors

/// A directory of LoRA weights as Hugging Face's PEFT writes it: `adapter_config.json` and `adapter_model.safetensors`.
public enum LowRankAdapterFiles {
    /// What PEFT puts before the names of the model it wraps.
    private static let prefix = "base_model.model."
    private static let weightsFile = "adapter_model.safetensors"
    private static let configFile = "adapter_config.json"
    /// The files that are written.
    static let names = [configFile, weightsFile]

    private struct Configuration: Codable {
        var peftType: String?
        var r: Int
        var loraAlpha: Float
        var useRslora: Bool?
        var useDora: Bool?
    }

    /// Reads the adapters in a directory.
    /// - Returns: the tensors under the names `PREFIX.lora_A.weight`, and how they are scaled.
    /// - Throws: `CheckpointError` for files that cannot be read, `LLaVAError` for a kind that is not computed.
    static func read(_ path: String) throws -> (tensors: [String: Tensor], adaptation: LowRankAdaptation) {
        let file = path + "/" + configFile
        let config = try JSONFile.decode(Configuration.self, from: file)
        let unsupported = [
            ("peft_type", config.peftType ?? "LORA", config.peftType.map { $0 == "LORA" } ?? true),
            ("use_rslora", "true", config.useRslora != true), ("use_dora", "true", config.useDora != true),
            ("r", "\(config.r)", (1...4096).contains(config.r)),
            ("lora_alpha", "\(config.loraAlpha)", config.loraAlpha.isFinite),
        ]
        for (key, value, isKnown) in unsupported where !isKnown {
            throw LLaVAError.unsupported(
                key: "\(configFile): \(key)", value: value, supported: "plain LoRA of rank 1...4096")
        }
        let weights = [weightsFile, "adapter_model.bin"].map { path + "/" + $0 }
        let stored = try TensorFile.load(
            path: weights.first { FileManager.default.fileExists(atPath: $0) } ?? weights[0])
        var tensors: [String: Tensor] = [:]
        for (name, tensor) in stored where name.contains(".lora_A.") || name.contains(".lora_B.") {
            // Some versions write the adapter's own name between `lora_A` and `weight`.
            var parts = (name.hasPrefix(prefix) ? name.dropFirst(prefix.count) : name[...]).split(separator: ".")
            if parts.count > 2, parts[parts.count - 2] == "default" { parts.remove(at: parts.count - 2) }
            tensors[parts.joined(separator: ".")] = tensor
        }
        guard !tensors.isEmpty else {
            throw LLaVAError.malformed(path: path, reason: "holds no tensors called lora_A and lora_B")
        }
        return (tensors, LowRankAdaptation(rank: config.r, alpha: config.loraAlpha))
    }

    /// Writes adapters into a directory that exists.
    /// - Parameter adapters: by the names of the weights they stand beside.
    public static func write(_ adapters: [String: LowRankAdapter], base: String, to directory: URL) throws {
        guard let first = adapters.values.first else { return }
        var tensors: [String: Tensor] = [:]
        for (name, adapter) in adapters {
            let stem = prefix + name.dropLast(".weight".count)
            tensors[stem + ".lora_A.weight"] = adapter.a.untracked
            tensors[stem + ".lora_B.weight"] = adapter.b.untracked
        }
        try SafetensorsWriter.write(
            tensors, metadata: ["format": "pt"], to: directory.appending(path: weightsFile).path)
        let rank = first.a.shape[0]
        let config: [String: Any] = [
            "peft_type": "LORA", "r": rank, "lora_alpha": Double(first.scale) * Double(rank),
            "base_model_name_or_path": base, "bias": "none", "task_type": "CAUSAL_LM", "lora_dropout": 0,
            "target_modules": Set(adapters.keys.map { $0.split(separator: ".").dropLast().last.map(String.init) ?? $0 })
                .sorted(),
        ]
        try JSONSerialization.data(withJSONObject: config, options: [.prettyPrinted, .sortedKeys])
            .write(to: directory.appending(path: configFile), options: .atomic)
    }
}
