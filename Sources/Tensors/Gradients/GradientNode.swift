/// How a tensor came about, for gradients to flow back: the tensors it was computed from and the way back to them.
///
/// Nodes form a graph that lives as long as a result refers to it; there is no tape to open or close. A node never
/// changes: gradients are gathered by a `GradientPass`, and those of parameters in the parameters themselves. So a graph
/// that begins with views of parameters, made when a model was loaded, serves every step.
public final class GradientNode: Sendable {
    let shape: [Int]
    let inputs: [GradientNode]
    /// Where the gradient of a parameter is gathered; nil for everything else.
    let buffer: GradientBuffer?
    let backward: @Sendable (Tensor, GradientPass) -> Void

    init(
        shape: [Int], inputs: [GradientNode] = [], buffer: GradientBuffer? = nil,
        backward: @escaping @Sendable (Tensor, GradientPass) -> Void = { _, _ in }
    ) {
        self.shape = shape
        self.inputs = inputs
        self.buffer = buffer
        self.backward = backward
    }
}

/// Whether operations on tracked tensors record how to get back.
enum GradientTracking {
    @TaskLocal static var isPaused = false
}

/// Runs `body` without recording anything: for evaluating a model that is being trained.
public func withoutGradients<Result>(_ body: () throws -> Result) rethrows -> Result {
    try GradientTracking.$isPaused.withValue(true, operation: body)
}

extension Tensor {
    /// Whether this is a parameter or was computed from one, so that its values change as training goes on.
    public var isTracked: Bool { node != nil }

    /// The same elements, which no gradient flows back from.
    public var untracked: Tensor {
        node == nil ? self : Tensor(shape: shape, elementType: elementType, storage: storage, byteOffset: byteOffset)
    }

    /// The same elements as the beginning of a graph.
    func asLeaf() -> Tensor { with(GradientNode(shape: shape)) }

    func with(_ node: GradientNode?) -> Tensor {
        Tensor(shape: shape, elementType: elementType, storage: storage, byteOffset: byteOffset, node: node)
    }

    /// This result of an operation, with the way back to its inputs.
    /// - Parameters:
    ///   - inputs: what the operation read; those that are not tracked are left out.
    ///   - backward: given the gradient of this tensor, in its shape, adds to those of the inputs.
    package func recorded(
        from inputs: [Tensor?], backward: @escaping @Sendable (_ gradient: Tensor, _ pass: GradientPass) -> Void
    ) -> Tensor {
        with(GradientNode(shape: shape, inputs: inputs.compactMap { $0?.node }, backward: backward))
    }
}

/// Whether an operation on these tensors has to be recorded.
package func isTracking(_ a: Tensor, _ b: Tensor? = nil, _ c: Tensor? = nil) -> Bool {
    (a.node != nil || b?.node != nil || c?.node != nil) && !GradientTracking.isPaused
}
