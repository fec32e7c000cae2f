public import Tensors
public import Testing

/// Compares the gradient of Σ f(inputs) · r, r random, with central differences, on every kernel set.
///
/// The gradient is gathered twice and halved, so what adds to a gradient is tested together with what begins one.
/// - Parameters:
///   - step: h of the differences, whose own error grows with h² and with the rounding of f over h.
///   - tolerance: on each element, relative to the largest of the gradient or 1: float32 differences of values around 1
///     are good to about 2^-24 / h, and h² of third derivatives comes on top.
public func checkGradients(
    _ inputs: [Tensor], step: Float = 1 / 256, tolerance: Float = 4e-3,
    sourceLocation: SourceLocation = #_sourceLocation, _ f: ([Tensor]) -> Tensor
) {
    for context in ComputeContext.everyKernelSet {
        context.run {
            let parameters = inputs.enumerated().map { Parameter("\($0)", $1) }
            let y = f(parameters.map(\.tensor))
            let weights = Tensor.random(y.shape, seed: 99)
            func loss(_ y: Tensor) -> Double {
                zip(y.floats, weights.floats).reduce(0) { $0 + Double($1.0) * Double($1.1) }
            }
            y.backward(from: weights)
            y.backward(from: weights)
            for (index, input) in inputs.enumerated() {
                let got = (parameters[index].gradient ?? Tensor(repeating: 0, shape: input.shape)).floats
                var values = input.floats
                let exact = values.indices.map { i in
                    let value = values[i]
                    defer { values[i] = value }
                    func at(_ x: Float) -> Double {
                        values[i] = x
                        var changed = inputs
                        changed[index] = Tensor(values, shape: input.shape)
                        return loss(f(changed))
                    }
                    return Float((at(value + step) - at(value - step)) / Double((value + step) - (value - step)))
                }
                let allowed = tolerance * exact.reduce(1) { max($0, abs($1)) }
                for i in exact.indices where !(abs(got[i] / 2 - exact[i]) <= allowed) {
                    Issue.record(
                        "\(context.kernels.name): input \(index), element \(i): \(got[i] / 2), expected \(exact[i])",
                        sourceLocation: sourceLocation)
                    return
                }
            }
        }
    }
}
