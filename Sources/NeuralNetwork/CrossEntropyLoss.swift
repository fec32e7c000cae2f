import Foundation
public import Tensors

/// Mean cross entropy of next-token prediction.
public enum CrossEntropyLoss {
    /// The label of positions that are not learned.
    public static let ignoredLabel = -100

    /// Sum of -log softmax(logits)[label] over rows whose label is not ignored, and how many those are.
    /// - Parameters:
    ///   - logits: `[T, V]`; row t predicts `labels[t]`.
    ///   - labels: T token ids or `ignoredLabel`.
    public static func sum(logits: Tensor, labels: [Int]) -> (loss: Double, count: Int) {
        precondition(logits.rows == labels.count, "\(logits.shape) for \(labels.count) labels")
        let vocabulary = logits.columns
        return logits.withFloats { values in
            var (loss, count) = (0.0, 0)
            for (row, label) in labels.enumerated() where label != ignoredLabel {
                let start = row * vocabulary
                let maximum = values[start..<start + vocabulary].reduce(-Float.infinity, max)
                let sum = values[start..<start + vocabulary].reduce(0.0) { $0 + exp(Double($1 - maximum)) }
                loss += log(sum) + Double(maximum - values[start + label])
                count += 1
            }
            return (loss, count)
        }
    }
}
