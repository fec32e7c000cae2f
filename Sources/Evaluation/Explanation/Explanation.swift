public import LLaVAPipeline
import LanguageDecoder
public import MQT
public import NeuralNetwork
import Tensors
import Tokenization
public import VisionEncoder

/// What an answer about a picture depends on, patch by patch, and what layers of a mixture of depths kept of it.
///
/// Relevance is the length of the gradient of a token's log-probability with respect to what the tower saw in a patch: how
/// much the token would change if that changed a little. It goes through the query transformer, whose attention weights
/// alone would be the same for every picture. Of several views of a picture the first is explained, which shows all of it.
public struct Explanation: Sendable {
    /// What was asked.
    public let question: String
    /// The picture as the model sees it.
    public let picture: RGBImage
    /// Patches of the picture.
    public let grid: PatchGrid
    /// Visual tokens of the picture.
    public let visualTokens: Int
    /// The tokens of the answer, at most `maximumTokens` of them.
    public let tokens: [Token]
    /// The layers that skip visual tokens, from the first on; none for a decoder whose layers read all of them.
    public let layers: [Layer]
    /// How visual tokens come from patches.
    public let connection: Connection

    /// Most tokens of an answer that are explained: each takes a pass back through the decoder.
    public static let maximumTokens = 32

    /// A token of the answer.
    public struct Token: Sendable {
        /// Its text.
        public let text: String
        /// Natural logarithm of its probability.
        public let logProbability: Double
        /// Length of the gradient at each patch, row by row, `[N]`.
        public let relevance: [Float]
    }

    /// A layer of a mixture of depths.
    public struct Layer: Sendable {
        /// Which layer it is, counted from 0.
        public let index: Int
        /// How many of the visual tokens it processes.
        public let kept: Int
        /// The share of each patch that is in the kept tokens, 0...1, row by row, `[N]`.
        public let share: [Float]
    }

    /// How visual tokens come from patches.
    public enum Connection: String, Sendable {
        /// Queries attend to positions: the weights are the same for every picture.
        case positions
        /// Queries attend to what the picture shows.
        case features
        /// Every token is a patch.
        case patches
    }

    /// Explains an answer that was given.
    /// - Parameters:
    ///   - ids: the prompt, one image mark among the token ids.
    ///   - answer: the answer's token ids.
    ///   - picture: the first view as the tower took it.
    /// - Throws: `EvaluationError.unexplainable` if nothing leads back from the answer to the picture, and what the model
    ///   throws.
    /// - Complexity: One pass through the decoder and one back for each token, with exact products.
    public init(
        _ assistant: Assistant, question: String, ids: [Int], answer: [Int], features: LLaVAModel.Features,
        budget: VisualTokenBudget?, picture: RGBImage
    ) throws {
        let model = assistant.model
        guard let vision = model.vision else { throw LLaVAError.textOnly(checkpoint: model.path) }
        let answer = Array(answer.prefix(Self.maximumTokens))
        let leaf = Parameter("features", features.tensor)  // [views, N, D]
        let trace = Trace()
        var context = ComputeContext.current
        context.quantizedProducts = .exact
        let explained: (tokens: [Token], visual: VisualTokens) = try context.run {
            let visual = try model.visualTokens(
                from: LLaVAModel.Features(tensor: leaf.tensor, image: features.image), budget: budget)
            let prompt = try model.prompt(ids + answer.dropLast(), images: [visual])
            let hidden = model.decoder.hiddenStates(
                ofSequence: prompt.inputsEmbeds, skippable: prompt.skippable, trace: trace)
            let first = prompt.count - answer.count
            var texts = assistant.tokenizer.streamDecoder()
            let tokens = try answer.enumerated().map { place, token in
                var labels = [Int](repeating: CrossEntropyLoss.ignoredLabel, count: prompt.count)
                labels[first + place] = token
                let (loss, _) = CrossEntropyLoss.sum(hiddenStates: hidden, labels: labels, head: model.decoder.logits)
                leaf.clearGradient()
                loss.backward()
                guard let gradient = leaf.gradient else { throw EvaluationError.unexplainable(model: model.path) }
                return Token(
                    text: (try? texts.append(token)) ?? "", logProbability: -Double(loss.floats[0]),
                    relevance: Self.lengths(gradient[0]))
            }
            return (tokens, visual)
        }
        let views = features.tensor.shape[0]
        let perView: Int
        let attention: Tensor?
        switch vision.connector {
        case .queryTransformer(let transformer, let table):
            perView = explained.visual.count / views
            attention = transformer.attentionTable(for: features.tensor[0], on: table).weights  // [heads, M, N]
            connection = transformer.seesFeatures ? .features : .positions
        case .projector:
            perView = vision.grid.count
            attention = nil
            connection = .patches
        }
        self.question = question
        self.picture = picture
        grid = vision.grid
        visualTokens = perView
        tokens = explained.tokens
        let start = ids.firstIndex(of: MultimodalPrompt.imageToken) ?? 0
        let cells = vision.grid.count
        let shares = Self.shares(of: perView, attention, cells: cells)
        layers = (0..<model.config.llama.numHiddenLayers).compactMap { index in
            guard model.config.pmod != nil, let rows = trace.tensors["pmod.kept.\(index)"] else { return nil }
            let kept = rows.integers.map { $0 - start }.filter { (0..<perView).contains($0) }
            return Layer(
                index: index, kept: kept.count,
                share: (0..<cells).map { cell in kept.reduce(0) { $0 + shares[$1][cell] } })
        }
    }

    /// The mean relevance of all tokens.
    public var relevance: [Float] {
        guard !tokens.isEmpty else { return [Float](repeating: 0, count: grid.count) }
        return (0..<grid.count).map { cell in
            tokens.reduce(0) { $0 + $1.relevance[cell] } / Float(tokens.count)
        }
    }

    /// The lengths of the rows of a matrix.
    private static func lengths(_ matrix: Tensor) -> [Float] {
        let (values, columns) = (matrix.floats, matrix.columns)
        return (0..<matrix.rows).map { row in
            values[row * columns..<(row + 1) * columns].reduce(0) { $0 + $1 * $1 }.squareRoot()
        }
    }

    /// For each visual token its share in each patch: what it takes of the attention that all tokens pay to the patch.
    private static func shares(of tokens: Int, _ attention: Tensor?, cells: Int) -> [[Float]] {
        guard let attention else { return (0..<tokens).map { token in (0..<cells).map { $0 == token ? 1 : 0 } } }
        let (heads, queries, values) = (attention.shape[0], attention.shape[1], attention.floats)
        let weights = (0..<tokens).map { token in
            (0..<cells).map { cell in
                (0..<heads).reduce(Float(0)) { $0 + values[($1 * queries + token) * cells + cell] }
            }
        }
        let sums = (0..<cells).map { cell in weights.reduce(0) { $0 + $1[cell] } }
        return weights.map { row in zip(row, sums).map { $1 > 0 ? $0 / $1 : 0 } }
    }
}
