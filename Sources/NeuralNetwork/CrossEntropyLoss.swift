public import Tensors

/// Mean cross entropy of next-token prediction.
public enum CrossEntropyLoss {
    /// The label of positions that are not learned.
    public static let ignoredLabel = -100

    /// Sum of -log softmax(logits)[label] over the rows whose label is not ignored, with a way back; logits of the other
    /// rows are never computed.
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
}
