package import Tensors

/// How far long work on the weights of a model has come.
public struct WeightsProgress: Sendable, Equatable {
    /// What is done to them.
    public enum Step: String, Sendable {
        /// Random weights are made.
        case drawing
        /// Weights change their type.
        case converting
        /// Weights go to a file.
        case writing
    }

    /// What is done.
    public var step: Step
    /// Bytes of weights, as they are stored afterwards, that it is done to.
    public var done: Int
    /// Bytes of all; nil where that shows only at the end.
    public var total: Int?

    /// Progress of a step.
    public init(_ step: Step, done: Int, total: Int?) {
        (self.step, self.done, self.total) = (step, done, total)
    }

    /// Is told of progress.
    public typealias Observer = (WeightsProgress) -> Void
}

extension [String: Tensor] {
    /// The tensors in other types, one after the other.
    package func converted(
        to type: (String, Tensor) -> ElementType, progress: WeightsProgress.Observer
    ) throws -> [String: Tensor] {
        let types = [String: ElementType](uniqueKeysWithValues: map { ($0.key, type($0.key, $0.value)) })
        let changing = filter { $0.value.elementType != types[$0.key] }
        let total = changing.reduce(0) { $0 + (types[$1.key]?.byteCount(of: $1.value.count) ?? 0) }
        var (result, done) = (self, 0)
        for (name, tensor) in changing {
            guard let wanted = types[name] else { continue }
            let converted = try tensor.converted(to: wanted)
            result[name] = converted
            done += converted.byteCount
            progress(WeightsProgress(.converting, done: done, total: total))
        }
        return result
    }
}
