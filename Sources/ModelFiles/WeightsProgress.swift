/// How far long work on the weights of a model has come.
public struct WeightsProgress: Sendable, Equatable {
    /// What is done to them.
    public enum Step: String, Sendable {
        /// Random weights are made.
        case drawing
        /// Weights go to a file, each in the type that it is stored in there.
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
