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
    /// - Parameter isTrained: the names of the weights that become parameters.
    /// - Throws: `CheckpointError`, `WeightError`, `LLaVAError`, or the error of a configuration.
    public static func load(
        from path: String, training isTrained: @escaping (String) -> Bool = { _ in false }
    ) throws -> VisionTower {
        let (tower, processor, reader) = try VisionTowerFiles.trained(at: path, training: isTrained)
        return VisionTower(
            tower: tower, processor: processor, parameters: reader.parameters, statistics: reader.statistics)
    }
}
