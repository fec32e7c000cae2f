import CKernels
import Foundation
public import Tensors

/// Adam with decoupled weight decay (arXiv 1711.05101), over groups of parameters with rates of their own.
///
/// Whoever calls `step` holds the model exclusively. An optimiser belongs to one training run and one thread at a time.
public final class AdamW {
    /// Parameters that share a rate and a decay.
    public struct Group {
        /// What is trained.
        public var parameters: [Parameter]
        /// Multiple of the rate that `step` is given.
        public var rateFactor: Float
        /// Share of each value that is taken away, in units of the rate.
        public var weightDecay: Float

        /// A group with the given parameters.
        public init(_ parameters: [Parameter], rateFactor: Float = 1, weightDecay: Float = 0) {
            self.parameters = parameters
            self.rateFactor = rateFactor
            self.weightDecay = weightDecay
        }
    }

    /// The moving averages of one parameter's gradient, in its shape.
    public struct Moments {
        /// Of the gradient.
        public var first: [Float]
        /// Of its square.
        public var second: [Float]

        /// Averages that were saved.
        public init(first: [Float], second: [Float]) {
            self.first = first
            self.second = second
        }
    }

    /// What is trained.
    public let groups: [Group]
    /// Weights of the moving averages of the gradient and of its square.
    public let beta1, beta2: Float
    /// What is added to the root of the mean square.
    public let epsilon: Float
    /// Steps taken so far.
    public private(set) var stepCount = 0
    /// The moments of each parameter that has had a gradient, by name: the whole state beside `stepCount`.
    public private(set) var moments: [String: Moments] = [:]

    /// An optimiser without any step taken.
    public init(_ groups: [Group], beta1: Float = 0.9, beta2: Float = 0.999, epsilon: Float = 1e-8) {
        self.groups = groups
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
    }

    /// Goes on from a state that was saved.
    public func resume(stepCount: Int, moments: [String: Moments]) {
        self.stepCount = stepCount
        self.moments = moments
    }

    /// The Euclidean norm of all gradients together, which clipping is by. Its bytes do not depend on the threads.
    public var gradientNorm: Double {
        groups.flatMap(\.parameters).reduce(0) { $0 + $1.gradientSquareSum }.squareRoot()
    }

    /// One step along the gradients gathered, which are cleared. A parameter without a gradient stays as it is.
    /// - Parameters:
    ///   - rate: the learning rate of this step.
    ///   - clip: the norm that gradients are scaled down to if theirs is larger, as `torch.nn.utils.clip_grad_norm_` does;
    ///     nil to leave them as they are.
    /// - Returns: the norm of all gradients before clipping.
    @discardableResult
    public func step(rate: Float, clippingTo clip: Double? = nil) -> Double {
        let norm = gradientNorm
        stepCount += 1
        let scale = clip.map { Float(min(1, $0 / (norm + 1e-6))) } ?? 1
        for group in groups {
            let groupRate = rate * group.rateFactor
            let constants = vlm_adamw_step(
                gradient_scale: scale, beta1: beta1, beta2: beta2, decay: 1 - groupRate * group.weightDecay,
                rate: groupRate / Float(1 - pow(Double(beta1), Double(stepCount))),
                root_scale: Float(1 / (1 - pow(Double(beta2), Double(stepCount))).squareRoot()), epsilon: epsilon)
            for parameter in group.parameters { step(parameter, constants) }
        }
        return norm
    }

    private func step(_ parameter: Parameter, _ constants: vlm_adamw_step) {
        parameter.update { values, gradient in
            guard let gradient, let source = gradient.baseAddress, let x = values.baseAddress else { return }
            let zeros = [Float](repeating: 0, count: values.count)
            var own = moments.removeValue(forKey: parameter.name) ?? Moments(first: zeros, second: zeros)
            let context = ComputeContext.current
            let table = context.table
            own.first.withUnsafeMutableBufferPointer { first in
                own.second.withUnsafeMutableBufferPointer { second in
                    guard let m = first.baseAddress, let v = second.baseAddress else { return }
                    context.forEachRows(values.count, columns: 1) { range in
                        let at = range.lowerBound
                        withUnsafePointer(to: constants) { constants in
                            table.adamw(constants, Int64(range.count), source + at, m + at, v + at, x + at)
                        }
                    }
                }
            }
            moments[parameter.name] = own
        }
        parameter.clearGradient()
    }
}

extension Parameter {
    /// Σ g², summed in blocks of fixed size; 0 without a gradient.
    fileprivate var gradientSquareSum: Double {
        update { values, gradient in
            guard let g = gradient?.baseAddress else { return 0 }
            let context = ComputeContext.current
            let table = context.table
            let block = 4096
            let blocks = (values.count + block - 1) / block
            let sums = Scratch(blocks)
            let parts = sums.floats
            context.forEachRows(blocks, columns: block) { range in
                for index in range {
                    let (start, n) = (index * block, Int64(min(block, values.count - index * block)))
                    table.product_dots(VLM_F32, 1, 1, n, g + start, n, g + start, n, parts + index, 1)
                }
            }
            return (0..<blocks).reduce(0) { $0 + Double(parts[$1]) }
        }
    }
}
