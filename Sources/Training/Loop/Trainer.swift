public import LLaVAPipeline
import LanguageDecoder
import MQT
import NeuralNetwork
import PMoD
public import Tensors

/// A model that learns to answer: its loss on examples, and whether its answers to them are right.
///
/// The vision tower is frozen, so an image is given as its features.
public struct Trainer: Sendable {
    /// What is trained; its parameters change with every step of an optimiser.
    public let model: LLaVAModel
    /// Whether layers are computed again on the way back instead of keeping their intermediates.
    public var isCheckpointing = false

    /// An example ready for a step.
    public struct Item: Sendable {
        /// Features of its image, `[N, D]`; nil for text alone.
        public var features: Tensor?
        /// Its words.
        public var text: TokenizedExample

        /// An example of its parts.
        public init(features: Tensor?, text: TokenizedExample) {
            self.features = features
            self.text = text
        }
    }

    /// A trainer of `model`.
    public init(_ model: LLaVAModel) { self.model = model }

    /// What came of a batch.
    public struct Outcome: Sendable {
        /// Mean cross entropy over the tokens that are learned.
        public var loss: Double
        /// Tokens that are learned.
        public var supervisedTokens: Int
        /// All tokens, visual ones included.
        public var tokens: Int
    }

    /// The loss of examples that all have an image or all have none, its gradients added to those of the parameters.
    /// - Parameters:
    ///   - visualTokens: tokens of each image, m; nil for a model without a query transformer.
    ///   - weight: what gradients are multiplied by, for a step of several batches.
    /// - Throws: `VisualTokenBudgetError` for a budget the model cannot honour.
    public func learn(_ items: [Item], visualTokens: Int?, weight: Double = 1) throws -> Outcome {
        let (batch, hidden) = try forward(items, visualTokens: visualTokens)
        let (loss, count) = CrossEntropyLoss.sum(
            hiddenStates: hidden, labels: batch.targets, head: model.decoder.logits)
        if count > 0 { loss.backward(from: Tensor([Float(weight / Double(count))], shape: [1])) }
        return Outcome(
            loss: count > 0 ? Double(loss.floats[0]) / Double(count) : 0, supervisedTokens: count, tokens: batch.count)
    }

    /// For every turn whether all of its learned tokens are the most probable ones, which is when the model would have
    /// answered so by itself.
    public func answersRightly(_ items: [Item], visualTokens: Int?) throws -> [(type: String, isRight: Bool)] {
        try withoutGradients {
            let (batch, hidden) = try forward(items, visualTokens: visualTokens)
            let rows = batch.targets.indices.filter { batch.targets[$0] != CrossEntropyLoss.ignoredLabel }
            let logits = model.decoder.logits(hidden.gatheredRows(rows))
            var isRight = [Bool](repeating: true, count: batch.count)
            logits.withFloats { values in
                for (index, row) in rows.enumerated() {
                    let own = values[index * logits.columns..<(index + 1) * logits.columns]
                    let best = own.indices.max { own[$0] < own[$1] } ?? own.startIndex
                    isRight[row] = best - own.startIndex == batch.targets[row]
                }
            }
            return batch.turns.map { turn in (turn.type, turn.range.allSatisfy { isRight[$0] }) }
        }
    }

    private func forward(_ items: [Item], visualTokens: Int?) throws -> (PackedBatch, Tensor) {
        let features = items.compactMap(\.features)
        precondition(features.isEmpty || features.count == items.count, "examples with and without images in one batch")
        let visual = try features.isEmpty ? nil : self.visualTokens(of: features, budget: visualTokens)
        let perImage = visual.map { $0.rows / items.count } ?? 0
        let batch = PackedBatch(items.map(\.text), visualTokens: perImage)
        let embeddings = batch.embeddings(text: model.decoder.embedTokens(batch.textIDs), visual: visual)
        let hidden = model.decoder.hiddenStates(
            ofSequence: embeddings, positions: batch.positions, mask: batch.mask, skippable: skippable(in: batch),
            sequences: batch.sequences, checkpointing: isCheckpointing)
        return (batch, hidden)
    }

    private func visualTokens(of features: [Tensor], budget: Int?) throws -> Tensor {
        guard let vision = model.vision else { throw LLaVAError.textOnly(checkpoint: model.path) }
        let all = Tensor.concatenatingRows(features).reshaped(to: [features.count] + features[0].shape)  // [B, N, D]
        switch vision.connector {
        case .queryTransformer(let transformer, _):
            guard let budget = try model.budget(budget) else { throw LLaVAError.textOnly(checkpoint: model.path) }
            return transformer.tokens(ofBatch: all, budget: budget, grid: vision.grid)
        case .projector(let projector):
            let tokens = projector(all)
            return tokens.reshaped(to: [tokens.rows, tokens.columns])
        }
    }

    private func skippable(in batch: PackedBatch) -> [Bool]? {
        switch model.config.pmod?.modTargetTokenType {
        case nil: nil
        case .all: batch.isVisual.map { _ in true }
        case .visionAll, .visionHighResolution: batch.isVisual
        }
    }
}
