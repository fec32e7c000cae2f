public import NeuralNetwork
public import Tensors

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

    /// What the weights are rounded to.
    public var quantization = Quantization()

    /// The checkpoint as it is.
    public init() {}
}

/// What the weights of linear maps are rounded to when a model is loaded, for native products: several times as fast, and
/// a little off. Patch embedding, connector, routers and norms stay as they are, and so do weights that a file holds in
/// blocks already.
public struct Quantization: Sendable, Hashable {
    /// Of the vision tower: int8 for rows with one scale each, Q8_0 or Q4_0 for blocks; nil for the weights as they are stored.
    public var encoder: ElementType?
    /// Of the decoder.
    public var decoder: ElementType?

    /// What each part is rounded to: int8, Q8_0, Q4_0 or nil.
    public init(encoder: ElementType? = nil, decoder: ElementType? = nil) {
        (self.encoder, self.decoder) = (encoder, decoder)
    }

    /// What each part is rounded to, in words; nil if nothing is.
    public var words: String? {
        isEmpty ? nil : "encoder \(encoder?.rawValue ?? "as stored"), decoder \(decoder?.rawValue ?? "as stored")"
    }

    /// Whether nothing is rounded.
    public var isEmpty: Bool { encoder == nil && decoder == nil }
}
