public import Tensors

/// A collector of named intermediates of a forward pass.
///
/// A model records what it computes under the names of the design (`vision.hidden.3`, `logits`); without a trace
/// nothing is kept. A trace belongs to one forward pass at a time.
public final class Trace {
    /// What was recorded, by name.
    public private(set) var tensors: [String: Tensor] = [:]
    /// What is put in front of names from now on, for passes that repeat, such as a second image.
    public var prefix = ""

    /// An empty trace.
    public init() {}

    /// Keeps `tensor` under `name`; a later record of the same name replaces it.
    public func record(_ name: String, _ tensor: Tensor) {
        tensors[prefix + name] = tensor
    }
}
