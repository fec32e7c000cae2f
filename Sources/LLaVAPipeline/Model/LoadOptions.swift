public import NeuralNetwork

/// How a model is put together from its files.
public struct LoadOptions: Sendable {
    /// Directory of the vision tower; nil takes the one inside the checkpoint.
    public var visionTower: String?
    /// A file of connector weights, or a directory that holds one; nil takes the checkpoint's own.
    public var adapter: String?
    /// A directory of LoRA weights in PEFT's form; nil for none, or for that of an assembled model.
    public var lora: String?
    /// Values that replace those of config.json.
    public var configOverrides: [(key: String, value: String)] = []
    /// Which weights are trained, by their names in the checkpoint; nil for none. The tower's never are.
    public var trains: (@Sendable (String) -> Bool)?

    /// Which maps of the decoder and the connector get new adapters of low rank, which are trained.
    public var adaptation: LowRankAdaptation?

    /// The checkpoint as it is.
    public init() {}
}
