/// How long each stage of an answer took.
public struct StageTimings: Sendable {
    /// Reading configuration and weights.
    public var load = Duration.zero
    /// Decoding the image files.
    public var imageDecode = Duration.zero
    /// Resizing, cropping and normalising.
    public var preprocess = Duration.zero
    /// The vision tower.
    public var encode = Duration.zero
    /// The query transformer or the projector.
    public var queryTransformer = Duration.zero
    /// The prompt through the decoder, up to the first token.
    public var prefill = Duration.zero
    /// All decode steps together.
    public var decode = Duration.zero
    /// Number of decode steps.
    public var decodeSteps = 0

    /// All zero.
    public init() {}

    /// Time from the image file to the first token, without loading the model.
    public var timeToFirstToken: Duration { imageDecode + preprocess + encode + queryTransformer + prefill }

    /// Adds the time `body` takes to a stage.
    public mutating func measure<Result: ~Copyable>(
        _ stage: WritableKeyPath<StageTimings, Duration>, _ body: () throws -> Result
    ) rethrows -> Result {
        let clock = ContinuousClock()
        let start = clock.now
        defer { self[keyPath: stage] += clock.now - start }
        return try body()
    }
}

extension Duration {
    /// This duration in milliseconds.
    public var milliseconds: Double {
        Double(components.seconds) * 1e3 + Double(components.attoseconds) * 1e-15
    }
}
