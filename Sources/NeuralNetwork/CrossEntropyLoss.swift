import Foundation
public import Tensors

/// Mean cross entropy of next-token prediction.
public enum CrossEntropyLoss {
    /// The label of positions that are not learned.
    public static let ignoredLabel = -100

    /// The same sum from the hidden states before the head, with a way back; logits of rows that are not learned are
    /// never computed.
    /// - Parameters:
    ///   - hiddenStates: `[T, D]`; row t predicts `labels[t]`.
    ///   - labels: T token ids or `ignoredLabel`.
    ///   - head: hidden states `[n, D]` to logits `[n, V]`.
    /// - Returns: the sum `[1]` and the number of rows that are learned.
    public static func sum(
        hiddenStates: Tensor, labels: [Int], head: (Tensor) -> Tensor
    ) -> (loss: Tensor, count: Int) {
        precondition(hiddenStates.rows == labels.count, "\(hiddenStates.shape) for \(labels.count) labels")
        let rows = labels.indices.filter { labels[$0] != ignoredLabel }
        if rows.isEmpty { return (Tensor(repeating: 0, shape: [1]), 0) }
        return (crossEntropy(head(hiddenStates.gatheredRows(rows)), targets: rows.map { labels[$0] }), rows.count)
    }

    /// The labels of the rows that predict them: each row the label of the next, the last row none.
    public static func shifted(_ labels: [Int]) -> [Int] { labels.dropFirst() + [ignoredLabel] }

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
