public import LanguageDecoder
public import NeuralNetwork

extension LlamaModel {
    /// Reads a decoder whose layers skip visual tokens where `pmod` says so.
    ///
    /// A mixture-of-depths layer keeps its plain layer under `decoder_layer.` and its router under `router.router.`.
    /// - Parameter weights: the whole checkpoint, unscoped.
    public init(_ config: LlamaConfig, pmod: PMoDConfig, _ weights: WeightReader) {
        let ratios = pmod.retentionRatios(layerCount: config.numHiddenLayers)
        self.init(config, weights) { index, weights in
            guard let ratio = ratios[index] else { return LlamaDecoderLayer(config, weights) }
            return MixtureOfDepthsLayer(
                decoderLayer: LlamaDecoderLayer(config, weights.scoped("decoder_layer")),
                router: TokenRouter(
                    // Which tokens are kept is decided exactly.
                    router: Linear(
                        weights.quantizing(to: nil).scoped("router.router"), inputs: config.hiddenSize, outputs: 1,
                        hasBias: pmod.modBiasEnabled),
                    weightNorm: pmod.modWeightNorm, retentionRatio: ratio,
                    minimumTokens: pmod.modMinimumTokens),
                reweightsSkipped: pmod.modSymmetricReweighting, index: index)
        }
    }
}
