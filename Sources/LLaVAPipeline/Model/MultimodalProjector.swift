public import NeuralNetwork
public import Tensors

/// The connector of LLaVA-1.5 and p-MoD: each patch feature mapped to the decoder's width on its own.
///
/// Source: LLaVA 1.2.2, `multimodal_projector/builder.py`: `linear`, or `mlpNx_gelu` with exact GELU between N layers.
public struct MultimodalProjector: Sendable {
    let layers: [Linear]

    /// Reads a projector of the given type.
    /// - Parameter weights: scoped to the projector, `model.mm_projector` in a checkpoint.
    /// - Throws: `LLaVAError.unsupported` for a type that is not known.
    public init(_ weights: WeightReader, type: String, featureSize: Int, tokenSize: Int) throws {
        guard let depth = Self.layerCount(ofType: type) else {
            throw LLaVAError.unsupported(key: "mm_projector_type", value: type, supported: "linear or mlpNx_gelu")
        }
        if type == "linear" {
            layers = [Linear(weights, inputs: featureSize, outputs: tokenSize, hasBias: true)]
            return
        }
        // Linear layers at even indices of a sequence, activations between them.
        layers = (0..<depth).map {
            Linear(
                weights.scoped("\(2 * $0)"), inputs: $0 == 0 ? featureSize : tokenSize, outputs: tokenSize,
                hasBias: true)
        }
    }

    /// Weights of all maps, biases left out: multiply-adds of one feature.
    public var weightCount: Int { layers.reduce(0) { $0 + $1.weight.count } }

    /// The linear layers of a projector, or nil for a type that is not known.
    static func layerCount(ofType type: String) -> Int? {
        if type == "linear" { return 1 }
        guard type.hasPrefix("mlp"), type.hasSuffix("x_gelu") else { return nil }
        let depth = Int(type.dropFirst(3).dropLast(6))
        return depth.flatMap { (1...8).contains($0) ? $0 : nil }
    }

    /// `[..., D]` -> `[..., E]`.
    public func callAsFunction(_ features: Tensor) -> Tensor {
        var x = features
        for layer in layers.dropLast() { x = layer(x, activation: .gelu) }
        return layers[layers.count - 1](x)
    }
}
