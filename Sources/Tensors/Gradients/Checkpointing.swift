/// The result of `body`, whose intermediates are not kept: the way back runs it again.
///
/// Gradients are the same to the bit as without, because the second run repeats the first. Memory is that of the inputs
/// and the result, and of one such piece at a time on the way back; time is one forward pass more.
/// - Parameters:
///   - inputs: the tracked tensors that `body` reads, parameters aside; what it captures besides is taken as constant.
///   - body: a pure function of its inputs and of parameters.
///
/// Source: arXiv 1604.06174.
public func checkpointed(_ inputs: [Tensor], _ body: @escaping @Sendable ([Tensor]) -> Tensor) -> Tensor {
    if GradientTracking.isPaused { return body(inputs) }
    let result = withoutGradients { body(inputs) }
    return result.untracked.recorded(from: inputs) { gradient, pass in
        let leaves = inputs.map { $0.node == nil ? $0 : $0.untracked.asLeaf() }
        let again = GradientTracking.$isPaused.withValue(false) { body(leaves) }
        guard let root = again.node else { return }
        let nodes = leaves.compactMap(\.node)
        let gradients = GradientPass.run(from: root, gradient: gradient, leaves: nodes)
        for (input, gradient) in zip(inputs.compactMap(\.node), gradients) {
            if let gradient { pass.add(gradient, to: input) }
        }
    }
}
