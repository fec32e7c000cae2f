public import NeuralNetwork
public import Tensors

/// The shape of a vision transformer, named as in the `config.json` of Hugging Face.
public struct VisionTransformerConfig: Sendable, Equatable {
    /// Width of the residual stream, D.
    public var hiddenSize: Int
    /// Width of the perceptron of a block.
    public var intermediateSize: Int
    /// Number of blocks, L.
    public var numHiddenLayers: Int
    /// Attention heads of a block, H, a divisor of D.
    public var numAttentionHeads: Int
    /// Channels of an image.
    public var numChannels: Int
    /// Side of the square image in pixels.
    public var imageSize: Int
    /// Side of a patch in pixels.
    public var patchSize: Int
    /// What layer norms add to the variance.
    public var layerNormEps: Float
    /// Activation of the perceptron.
    public var hiddenAct: Activation
    /// Whether a class token stands in front of the patches.
    public var hasClassToken = true

    /// Patches along one side.
    public var gridSize: Int { imageSize / patchSize }
    /// Patches along both sides.
    public var grid: PatchGrid { PatchGrid(height: gridSize, width: gridSize) }
    /// Number of patches, N.
    public var patchCount: Int { gridSize * gridSize }

    /// Largest extent that a configuration may name: far above any tower, far below overflow.
    private static let limit = 1 << 20

    /// Checks a shape that comes from a file.
    /// - Throws: `VisionConfigError.unsupported` for a shape that no tower can have or that is not computed here.
    public func validate() throws {
        let extents = [
            ("hidden_size", hiddenSize, Self.limit), ("intermediate_size", intermediateSize, Self.limit),
            ("num_hidden_layers", numHiddenLayers, 1024), ("num_attention_heads", numAttentionHeads, Self.limit),
            ("image_size", imageSize, 1 << 14), ("patch_size", patchSize, 1 << 14),
        ]
        for (key, value, limit) in extents where !(1...limit).contains(value) {
            throw VisionConfigError.unsupported(key: key, value: "\(value)", supported: "1...\(limit)")
        }
        guard hiddenSize % numAttentionHeads == 0 else {
            throw VisionConfigError.unsupported(
                key: "num_attention_heads", value: "\(numAttentionHeads)",
                supported: "a divisor of hidden_size \(hiddenSize)")
        }
        guard numChannels == 3 else {
            throw VisionConfigError.unsupported(key: "num_channels", value: "\(numChannels)", supported: "3")
        }
        guard patchSize <= imageSize else {
            throw VisionConfigError.unsupported(
                key: "patch_size", value: "\(patchSize)", supported: "1...\(imageSize), the image_size")
        }
        guard layerNormEps.isFinite, layerNormEps >= 0 else {
            throw VisionConfigError.unsupported(
                key: "layer_norm_eps", value: "\(layerNormEps)", supported: "a finite number from 0 up")
        }
    }

    /// The hidden state that `mm_vision_select_layer` names: negative values count from the end, -1 being the output
    /// of the last block.
    /// - Throws: `VisionConfigError.unsupported` if there is no such state.
    public func hiddenStateIndex(selectLayer: Int) throws -> Int {
        let index = selectLayer < 0 ? numHiddenLayers + 1 + selectLayer : selectLayer
        guard (0...numHiddenLayers).contains(index) else {
            throw VisionConfigError.unsupported(
                key: "mm_vision_select_layer", value: "\(selectLayer)",
                supported: "\(-numHiddenLayers - 1)...\(numHiddenLayers) for a tower of \(numHiddenLayers) blocks")
        }
        return index
    }
}

/// Which tokens of a hidden state are the image's features, as `mm_vision_select_feature` spells it.
public enum FeatureSelection: String, Sendable {
    /// The patches.
    case patch
    /// The class token, then the patches.
    case classAndPatch = "cls_patch"

    /// The features of hidden states `[B, N (+ 1), D]`: `[B, N, D]` or all of them.
    public func callAsFunction(_ hiddenStates: Tensor, hasClassToken: Bool = true) -> Tensor {
        switch self {
        case .classAndPatch: return hiddenStates
        case .patch:
            guard hasClassToken else { return hiddenStates }
            let (images, tokens, size) = (hiddenStates.shape[0], hiddenStates.shape[1], hiddenStates.shape[2])
            return Tensor.concatenatingRows((0..<images).map { hiddenStates[$0][1..<tokens] })
                .reshaped(to: [images, tokens - 1, size])
        }
    }
}

/// A tower configuration that cannot be computed.
public enum VisionConfigError: Error, Equatable, CustomStringConvertible {
    /// The key's value is outside what is implemented.
    case unsupported(key: String, value: String, supported: String)

    /// What went wrong, and what to do next.
    public var description: String {
        switch self {
        case .unsupported(let key, let value, let supported):
            "vision tower: \(key) is \(value); supported: \(supported)"
        }
    }
}
