public import Tensors

/// Batch normalisation of the last dimension (arXiv 1502.03167), as PyTorch's `BatchNorm2d` does it on channels.
///
/// Where its weight is trained and gradients are recorded, it normalises by the statistics of the batch and keeps running
/// averages of them; anywhere else by the averages, as one factor and one offset a channel. It does not belong inside
/// `checkpointed`, whose first run records nothing.
public struct BatchNorm: Sendable {
    /// `[C]` float32.
    public let weight: Tensor
    /// `[C]` float32.
    public let bias: Tensor
    /// What has been averaged over the batches.
    public let statistics: RunningStatistics
    let epsilon: Float

    /// Reads `weight`, `bias`, `running_mean` and `running_var`, `[channels]` each, under the reader's prefix.
    /// - Parameter momentum: share of a batch in the running averages.
    public init(_ weights: WeightReader, channels: Int, epsilon: Float = 1e-5, momentum: Float = 0.1) {
        weight = weights.vector("weight", channels)
        bias = weights.vector("bias", channels)
        statistics = weights.runningStatistics(channels: channels, momentum: momentum)
        self.epsilon = epsilon
    }

    /// `[..., C]` -> `[..., C]`.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        guard isTracking(weight) else {
            let (scale, shift) = affine
            return x.affine(scale: Tensor(scale, shape: weight.shape), shift: Tensor(shift, shape: weight.shape))
        }
        let (y, mean, variance) = batchNorm(x, weight: weight, bias: bias, epsilon: epsilon)
        statistics.add(mean: mean.floats, variance: variance.floats, count: x.rows)
        return y
    }

    /// Filters `[Co, ...]` and bias `[Co]` of a convolution before this layer, with this layer in them: for inference.
    public func folded(into filters: Tensor, bias: Tensor?) -> (filters: Tensor, bias: Tensor) {
        let (scale, shift) = affine
        let own = bias?.floats ?? Array(repeating: 0, count: scale.count)
        let folded = filters.untracked.widened.reshaped(to: [scale.count, filters.count / scale.count])
            .scaledRows(by: Tensor(scale, shape: [scale.count]))
        return (
            folded.reshaped(to: filters.shape),
            Tensor(own.indices.map { own[$0] * scale[$0] + shift[$0] }, shape: [scale.count])
        )
    }

    /// Factor and offset of each channel by the running averages.
    private var affine: (scale: [Float], shift: [Float]) {
        let (mean, variance, offset) = (statistics.mean, statistics.variance, bias.floats)
        let scale = zip(weight.floats, variance).map { $0 / ($1 + epsilon).squareRoot() }
        return (scale, offset.indices.map { offset[$0] - mean[$0] * scale[$0] })
    }
}

/// Running averages of the mean and the variance of each channel.
///
/// Invariant that makes `@unchecked Sendable` true: they change only in a training pass, which holds the model
/// exclusively.
public final class RunningStatistics: @unchecked Sendable {
    /// `[C]`.
    public private(set) var mean: [Float]
    /// `[C]`, of the population a batch is drawn from.
    public private(set) var variance: [Float]
    private let momentum: Float

    init(mean: [Float], variance: [Float], momentum: Float) {
        self.mean = mean
        self.variance = variance
        self.momentum = momentum
    }

    /// Replaces the averages, as when training resumes.
    public func load(mean: [Float], variance: [Float]) {
        precondition(mean.count == self.mean.count && variance.count == self.variance.count)
        (self.mean, self.variance) = (mean, variance)
    }

    /// Takes a batch of `count` rows in, whose variance was divided by `count`.
    func add(mean batchMean: [Float], variance batchVariance: [Float], count: Int) {
        let unbiased = Float(count) / Float(max(count - 1, 1))
        for c in mean.indices {
            mean[c] += momentum * (batchMean[c] - mean[c])
            variance[c] += momentum * (batchVariance[c] * unbiased - variance[c])
        }
    }
}
