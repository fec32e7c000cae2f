public import NeuralNetwork
public import PMoD
public import Tensors

/// A prompt as the decoder reads it: text and visual tokens in one sequence of embeddings.
///
/// Source: LLaVA 1.2.2, `prepare_inputs_labels_for_multimodal`.
public struct MultimodalPrompt: Sendable {
    /// The id that marks the place of an image among token ids.
    public static let imageToken = -200

    /// `[T, D]`.
    public let inputsEmbeds: Tensor
    /// Tokens that mixture-of-depths layers may skip; nil if there are none.
    public let skippable: [Bool]?
    /// Labels of the spliced sequence, if labels were given: those of the text, and the ignored label for images.
    public let labels: [Int]?

    /// Number of tokens, T.
    public var count: Int { inputsEmbeds.rows }

    /// A prompt of embeddings `[T, D]`, T > 0.
    public init(inputsEmbeds: Tensor, skippable: [Bool]? = nil) {
        self.inputsEmbeds = inputsEmbeds
        self.skippable = skippable
        labels = nil
    }

    /// Replaces each image mark among `ids` by the tokens of the next image.
    /// - Parameters:
    ///   - ids: token ids, `imageToken` for each image.
    ///   - images: visual tokens in the order of the marks.
    ///   - labels: one label for each id, or nil.
    ///   - embedTokens: the decoder's embeddings.
    ///   - target: which tokens may be skipped; nil for a dense decoder.
    ///   - maximumLength: where the spliced sequence is cut, as training does; nil for no limit.
    /// - Throws: `LLaVAError` if there are more or fewer marks than images, an id is outside the vocabulary, or there is
    ///   no token at all.
    public init(
        ids: [Int], images: [VisualTokens], labels: [Int]? = nil, embedTokens: Embedding,
        target: PMoDConfig.TargetTokenType?, maximumLength: Int? = nil
    ) throws {
        let marks = ids.count { $0 == Self.imageToken }
        guard marks == images.count else { throw LLaVAError.imageCount(placeholders: marks, images: images.count) }
        guard !ids.isEmpty else { throw LLaVAError.emptyPrompt }
        let vocabSize = embedTokens.weight.shape[0]
        if let id = ids.first(where: { $0 != Self.imageToken && !(0..<vocabSize).contains($0) }) {
            throw LLaVAError.tokenOutOfRange(id: id, vocabSize: vocabSize)
        }

        var parts: [Tensor] = []
        var skippable: [Bool] = []
        var splicedLabels: [Int] = []
        var remaining = images[...]
        var text: [Int] = []
        func flushText() {
            if !text.isEmpty { parts.append(embedTokens(text)) }
            text = []
        }
        for (index, id) in ids.enumerated() {
            if id == Self.imageToken, let image = remaining.popFirst() {
                flushText()
                parts.append(image.embeddings)
                skippable += Self.skippable(image, target)
                splicedLabels += Array(repeating: CrossEntropyLoss.ignoredLabel, count: image.count)
            } else {
                text.append(id)
                skippable.append(target == .all)
                if let labels { splicedLabels.append(labels[index]) }
            }
        }
        flushText()

        let spliced = Tensor.concatenatingRows(parts)
        let length = min(spliced.rows, maximumLength ?? spliced.rows)
        inputsEmbeds = spliced[0..<length]
        self.skippable = skippable[..<length].contains(true) ? Array(skippable[..<length]) : nil
        self.labels = labels == nil ? nil : Array(splicedLabels[..<length])
    }

    private static func skippable(_ image: VisualTokens, _ target: PMoDConfig.TargetTokenType?) -> [Bool] {
        switch target {
        case nil: Array(repeating: false, count: image.count)
        case .visionAll, .all: Array(repeating: true, count: image.count)
        case .visionHighResolution: image.isHighResolution
        }
    }
}
