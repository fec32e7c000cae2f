import LanguageDecoder
public import LLaVAPipeline
import MQT
import NeuralNetwork
import PMoD
import VisionEncoder

/// What an answer costs by the shapes of a model alone: floating-point operations of matrix products, attention and
/// convolutions, of which a multiply-add is two, and entries of the key/value cache.
///
/// The same work is counted where kernels are called by `OperationCounter`; both agree.
public struct AnswerCost {
    private let model: LLaVAModel

    /// The cost of a model's answers.
    public init(_ model: LLaVAModel) { self.model = model }

    /// Operations of the vision tower for one view, up to the hidden state whose features are taken; 0 without a tower.
    public var encode: Int {
        guard let vision = model.vision else { return 0 }
        let config = vision.tower.config
        var (height, width) = (vision.imageProcessor.cropSize.height, vision.imageProcessor.cropSize.width)
        var multiplyAdds = 0
        for convolution in vision.tower.convolutions {
            (height, width) = convolution.outputSize(height: height, width: width)
            multiplyAdds +=
                height * width * convolution.filters * convolution.channels * convolution.filterHeight
                * convolution.filterWidth
        }
        let (d, tokens) = (config.hiddenSize, height * width + (config.hasClassToken ? 1 : 0))
        // Queries, keys, values and outputs, the perceptron, and scores with their sums of values.
        let block = tokens * (4 * d * d + 2 * d * config.intermediateSize) + 2 * tokens * tokens * d
        return 2 * (multiplyAdds + vision.hiddenStateIndex * block)
    }

    /// Operations from the features of one view to its visual tokens.
    /// - Parameter visualTokens: m; any number for a model whose number is fixed.
    public func connect(visualTokens m: Int) -> Int {
        guard let vision = model.vision else { return 0 }
        let cells = vision.grid.count
        switch vision.connector {
        case .queryTransformer(let transformer, _):
            let (d, e) = (transformer.featureSize, transformer.tokenSize)
            var multiplyAdds = cells * d * d + m * d * d + m * d * e  // values, outputs, the map to the decoder
            switch transformer.keySource {
            case .positions: multiplyAdds += m * cells * d  // the table is known
            case .featuresAndPositions: multiplyAdds += cells * d * d + m * d * d + 2 * m * cells * d
            }
            return 2 * multiplyAdds
        case .projector(let projector): return 2 * cells * projector.weightCount
        }
    }

    /// Operations of a prompt, up to the logits of the first token: in the last layer all tokens have keys and values, and the
    /// last one all the rest.
    public func prefill(textTokens: Int, visualTokens: Int) -> Int {
        let llama = model.config.llama
        let (d, all) = (llama.hiddenSize, textTokens + visualTokens)
        let keysAndValues = 2 * d * llama.numKeyValueHeads * llama.headSize
        let others = 2 * d * d + 3 * d * llama.intermediateSize
        var multiplyAdds = d * llama.vocabSize
        for (layer, tokens) in keyValueEntries(textTokens: textTokens, visualTokens: visualTokens).enumerated() {
            multiplyAdds += tokens * keysAndValues
            // Where text is routed too, the last token may be one that the layer skips, and all of them are computed.
            if layer == llama.numHiddenLayers - 1, !(isRouted(layer) && model.config.pmod?.modTargetTokenType == .all) {
                multiplyAdds += others + 2 * d * tokens
            } else {
                multiplyAdds += tokens * others + 2 * d * tokens * (tokens + 1) / 2
            }
            if isRouted(layer), visualTokens > 0 { multiplyAdds += all * d }
        }
        return 2 * multiplyAdds
    }

    /// Operations of one more token when the cache holds `entries` keys in each layer.
    public func step(after entries: [Int]) -> Int {
        let llama = model.config.llama
        let d = llama.hiddenSize
        let perToken =
            2 * d * d + 2 * d * llama.numKeyValueHeads * llama.headSize + 3 * d * llama.intermediateSize
        return 2 * (d * llama.vocabSize + entries.reduce(0) { $0 + perToken + 2 * d * ($1 + 1) })
    }

    /// Keys that each layer holds when the prompt was read: all text, and the visual tokens that it keeps.
    ///
    /// Counted as if all visual tokens might be skipped, which is so unless only those of high resolution are.
    public func keyValueEntries(textTokens: Int, visualTokens: Int) -> [Int] {
        let layers = model.config.llama.numHiddenLayers
        guard let pmod = model.config.pmod else {
            return Array(repeating: textTokens + visualTokens, count: layers)
        }
        let isAll = pmod.modTargetTokenType == .all
        let skippable = isAll ? textTokens + visualTokens : visualTokens
        return pmod.keptTokens(of: skippable, layerCount: layers).map { $0 + (isAll ? 0 : textTokens) }
    }

    /// The share of the visual tokens that each layer keeps; nil for a dense decoder.
    public var retention: [Double]? {
        model.config.pmod.map { $0.retentionRatios(layerCount: model.config.llama.numHiddenLayers).map { $0 ?? 1 } }
    }

    private func isRouted(_ layer: Int) -> Bool {
        guard let pmod = model.config.pmod else { return false }
        return pmod.retentionRatios(layerCount: model.config.llama.numHiddenLayers)[layer] != nil
    }
}
