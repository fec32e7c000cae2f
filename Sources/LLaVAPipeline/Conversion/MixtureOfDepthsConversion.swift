import Foundation
import LanguageDecoder
import ModelFiles
import PMoD
import Tensors

/// A dense decoder as a mixture of depths that is to be trained: routers that are zero give every token the same weight.
///
/// Source: p-MoD (arXiv 2412.04449), section 3: the mixture is fine-tuned from a dense checkpoint.
enum MixtureOfDepthsConversion {
    /// The tensors of a checkpoint under the names that a configuration with a mixture of depths has; the same tensors
    /// if it has none, or if they are a mixture already.
    /// - Throws: `LLaVAError.malformed` if the checkpoint's mixture has other layers than the configuration.
    static func tensors(
        _ tensors: [String: Tensor], for config: Data, of source: CheckpointDirectory
    ) throws -> [String: Tensor] {
        let config = try JSONFile.decode(LLaVAConfig.self, from: config, file: source.path + "/config.json")
        guard let pmod = config.pmod else { return tensors }
        let layers = config.llama.numHiddenLayers
        let routed = pmod.retentionRatios(layerCount: layers).enumerated().filter { $1 != nil }.map(\.offset)
        let known = (0..<layers).filter { tensors["model.layers.\($0).router.router.weight"] != nil }
        guard known != routed else { return tensors }
        guard known.isEmpty else {
            throw LLaVAError.malformed(
                path: source.path,
                reason:
                    "its mixture of depths is in layers \(known), and would be in \(routed): begin with a dense model")
        }
        var result = tensors
        for layer in routed {
            let prefix = "model.layers.\(layer)."
            for (name, tensor) in tensors where name.hasPrefix(prefix) {
                result[name] = nil
                result[prefix + "decoder_layer." + name.dropFirst(prefix.count)] = tensor
            }
            let router = prefix + "router.router."
            result[router + "weight"] = Tensor(repeating: 0, shape: [1, config.llama.hiddenSize])
            if pmod.modBiasEnabled { result[router + "bias"] = Tensor(repeating: 0, shape: [1]) }
        }
        return result
    }
}
