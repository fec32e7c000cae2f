public import NeuralNetwork
public import Tensors
public import VisionEncoder

/// A vision tower by itself, as training takes it.
public struct VisionTower: Sendable {
    /// The vision transformer.
    public let tower: VisionTransformer
    /// How pictures become pixel values.
    public let processor: CLIPImageProcessor
    /// What is trained.
    public let parameters: [Parameter]
    /// Averages that training keeps, by the prefix of their `running_mean` and `running_var`.
    public let statistics: [String: RunningStatistics]

    /// Loads the tower of a directory or ONNX file.
    /// - Parameters:
    ///   - blocks: what native products round the weights of linear maps to; nil for none.
    ///   - isTrained: the names of the weights that become parameters.
    /// - Throws: `CheckpointError`, `WeightError`, `LLaVAError`, or the error of a configuration.
    public static func load(
        from path: String, quantizedTo blocks: ElementType? = nil,
        training isTrained: @escaping (String) -> Bool = { _ in false }
    ) throws -> VisionTower {
        let (tower, processor, reader) = try VisionTowerFiles.separate(
            at: path, quantizedTo: blocks, training: isTrained)
        return VisionTower(
            tower: tower, processor: processor, parameters: reader.parameters, statistics: reader.statistics)
    }
}
