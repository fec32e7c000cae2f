import Foundation
import Tensors

/// How router logits become token weights: scale · f(logits) + bias.
///
/// With f = tanh this is TanhNorm, which keeps weights near 1 so that a decoder trained without routers still works.
///
/// Source: p-MoD (arXiv 2412.04449), section 3.1; `ModLayer.weight_normalization` at 459f6df.
public struct WeightNorm: Sendable, Equatable {
    /// The function f.
    public enum Function: String, Sendable {
        case tanh, sigmoid, softmax, none
    }

    /// The function f.
    public var function: Function
    /// Factor of f, positive: the order of weights is the order of logits.
    public var scale: Float
    /// What is added.
    public var bias: Float

    /// scale · function(logits) + bias.
    public init(_ function: Function, scale: Float = 1, bias: Float = 1) {
        self.function = function
        self.scale = scale
        self.bias = bias
    }

    /// Reads the spelling `FUNCTION_SCALE_BIAS`, or `FUNCTION` alone for scale 1 and bias 1.
    public init(parsing text: String) throws {
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        let numbers = parts.dropFirst().compactMap { Float($0) }
        guard let function = Function(rawValue: String(parts[0])), numbers.count == parts.count - 1,
            numbers.isEmpty || (numbers.count == 2 && numbers[0] > 0 && numbers.allSatisfy(\.isFinite))
        else {
            throw PMoDConfigError.unsupported(
                key: "mod_weight_norm", value: text,
                supported: "tanh, sigmoid, softmax or none, alone or followed by _SCALE_BIAS with a positive scale")
        }
        self.init(function, scale: numbers.first ?? 1, bias: numbers.last ?? 1)
    }

    /// The weights of tokens with the given router logits; -∞ marks tokens that are not routed.
    public func callAsFunction(_ logits: [Float]) -> [Float] {
        let values: [Float] =
            switch function {
            case .tanh: logits.map(tanhf)
            case .sigmoid: logits.map { 1 / (1 + expf(-$0)) }
            case .softmax: softmax(logits)
            case .none: logits
            }
        return values.map { scale * $0 + bias }
    }

    /// The weights of routed tokens and 1 for the others, `[T, 1]`, with the way back to the router's output.
    func factors(weights: [Float], logits: [Float], routed: [Bool], output: Tensor) -> Tensor {
        let result = Tensor(zip(weights, routed).map { $1 ? $0 : 1 }, shape: output.shape)
        guard isTracking(output) else { return result }
        return result.recorded(from: [output]) { gradient, pass in
            let slopes = zip(gradient.floats, routed).map { $1 ? scale * $0 : 0 }
            let values = backward(slopes, logits: logits)
            pass.add(Tensor(zip(values, routed).map { $1 ? $0 : 0 }, shape: gradient.shape), to: output)
        }
    }

    /// The gradient of logits from that of f(logits).
    private func backward(_ gradient: [Float], logits: [Float]) -> [Float] {
        switch function {
        case .tanh:
            return zip(gradient, logits).map { slope, logit in
                let value = tanhf(logit)
                return slope * (1 - value * value)
            }
        case .sigmoid:
            return zip(gradient, logits).map { slope, logit in
                let value = 1 / (1 + expf(-logit))
                return slope * value * (1 - value)
            }
        case .softmax:
            let values = softmax(logits)
            let mean = zip(gradient, values).reduce(0) { $0 + $1.0 * $1.1 }
            return zip(gradient, values).map { $1 * ($0 - mean) }
        case .none: return gradient
        }
    }

    private func softmax(_ logits: [Float]) -> [Float] {
        let maximum = logits.max() ?? 0
        let exponentials = logits.map { expf($0 - maximum) }
        let sum = exponentials.reduce(0, +)
        return exponentials.map { $0 / sum }
    }
}
