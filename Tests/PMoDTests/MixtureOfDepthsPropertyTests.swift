import LanguageDecoder
import NeuralNetwork
import Tensors
import TestSupport
import Testing

@testable import PMoD

@Suite struct MixtureOfDepthsPropertyTests {
    private static let config = LlamaConfig(
        vocabSize: 50, hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 6, numAttentionHeads: 4,
        numKeyValueHeads: 4, maxPositionEmbeddings: 128, rmsNormEps: 1e-5, ropeTheta: 10_000, ropeScalingFactor: 1,
        tieWordEmbeddings: false)

    /// The same random decoder, once with mixture-of-depths layers at odd indices and once plain.
    private func models(
        ratio: Double, norm: WeightNorm, layers: PMoDConfig.TargetLayers = .interleave
    ) throws -> (mixture: LlamaModel, plain: LlamaModel) {
        var weights = RandomWeights(seed: 31)
        weights.llama(vocabulary: 50, size: 32, intermediate: 48, layers: 6, keyValueSize: 32) { $0 % 2 == 1 }
        let plain = Dictionary(
            uniqueKeysWithValues: weights.tensors.map { ($0.key.replacing("decoder_layer.", with: ""), $0.value) })
        let pmod = PMoDConfig(
            modTargetLayers: layers, modTargetTokenType: .visionAll, modRouterFactor: ratio, modWeightNorm: norm,
            modBiasEnabled: true)
        return (
            LlamaModel(Self.config, pmod: pmod, WeightReader(weights.tensors)),
            LlamaModel(Self.config, WeightReader(plain))
        )
    }

    private let x = Tensor.random([30, 32], seed: 32)
    private let routed = (0..<30).map { (4..<24).contains($0) }

    private func states(_ model: LlamaModel, _ skippable: [Bool]?, trace: Trace? = nil) -> Tensor {
        var cache = KVCache(Self.config)
        return model.hiddenStates(x, skippable: skippable, cache: &cache, trace: trace)
    }

    @Test(
        "the last state of a prompt is the last of all, wherever visual tokens stand",
        arguments: [4..<24, 10..<30, 0..<0])
    func lastState(visual: Range<Int>) throws {
        let model = try models(ratio: 0.4, norm: WeightNorm(.tanh, scale: 0.2, bias: 1)).mixture
        let routed = (0..<30).map(visual.contains)
        var cache = KVCache(Self.config)
        var other = KVCache(Self.config)
        let all = model.hiddenStates(x, skippable: routed, cache: &cache)
        let last = model.lastHiddenState(x, skippable: routed, cache: &other)
        // The same sums in another order: a few roundings of values of order 1.
        #expect(last.distance(to: all[29..<30]) < 2e-5)
        #expect(other.extent == cache.extent)
    }

    @Test("retention ratio 1 with weight 1 makes the layer the plain layer")
    func plainLayer() throws {
        // A scale so small that every weight rounds to the bias.
        let models = try models(ratio: 1, norm: WeightNorm(.tanh, scale: 1e-30, bias: 1))
        #expect(states(models.mixture, routed).bytes == states(models.plain, nil).bytes)
    }

    @Test(
        "gradients reach the router through the weights",
        arguments: ["tanh_0.2_1", "sigmoid", "softmax", "none_0.5_0.25"])
    func weightGradients(spelling: String) throws {
        let norm = try WeightNorm(parsing: spelling)
        let routed = (0..<7).map { $0 != 2 && $0 != 5 }
        checkGradients([.random([7, 1], seed: 34)]) { inputs in
            let logits = zip(inputs[0].floats, routed).map { $1 ? $0 : -Float.infinity }
            return norm.factors(weights: norm(logits), logits: logits, routed: routed, output: inputs[0])
        }
    }

    @Test("a mask among the kept tokens is that of the whole sequence")
    func gatheredMask() throws {
        let models = try models(ratio: 0.5, norm: WeightNorm(.tanh, scale: 0.2, bias: 1))
        let ranges = AttentionMask.ranges((0..<30).map { 0..<$0 + 1 })
        let explicit = models.mixture.hiddenStates(ofSequence: x, mask: ranges, skippable: routed)
        #expect(explicit.bytes == models.mixture.hiddenStates(ofSequence: x, skippable: routed).bytes)
        #expect(explicit.bytes == states(models.mixture, routed).bytes)
    }

    @Test("without visual tokens the layer is the plain layer")
    func textOnly() throws {
        let models = try models(ratio: 0.5, norm: WeightNorm(.tanh, scale: 0.2, bias: 1))
        #expect(states(models.mixture, nil).bytes == states(models.plain, nil).bytes)
        #expect(states(models.mixture, Array(repeating: false, count: 30)).bytes == states(models.plain, nil).bytes)
    }

    @Test("only kept tokens enter a layer's cache", arguments: [0, 0.26, 0.5, 1])
    func cacheLengths(ratio: Double) throws {
        let model = try models(ratio: ratio, norm: WeightNorm(.tanh, scale: 0.2, bias: 1)).mixture
        var cache = KVCache(Self.config)
        _ = model.hiddenStates(x, skippable: routed, cache: &cache)
        let kept = Int(Float(20) * Float(ratio)) + 10
        #expect(cache.layers.map(\.count) == [30, kept, 30, kept, 30, kept])
        _ = model.hiddenStates(x[0..<1], cache: &cache)
        #expect(cache.layers.map(\.count) == [31, kept + 1, 31, kept + 1, 31, kept + 1])
    }

    @Test("text keeps its state through a layer that processes no visual token, and skipped tokens are scaled")
    func skippedTokens() throws {
        var layer = MixtureOfDepthsLayer(
            decoderLayer: try plainLayerZero(),
            router: TokenRouter(
                router: Linear(weight: Tensor.random([1, 32], seed: 33)),
                weightNorm: WeightNorm(.tanh, scale: 0.2, bias: 1), retentionRatio: 0),
            index: 0)
        let rotary = RotaryEmbedding(headSize: 8, theta: 10_000)
        let everything = Array(repeating: true, count: 30)
        let trace = Trace()
        let cache = KVCache(Self.config)
        let y = layer(
            x, DecoderStep(rotations: rotary(Array(0..<30)), skippable: everything, trace: trace),
            cache: cache.layers[0])
        let weights = try #require(trace.tensors["pmod.weight.0"]).floats
        #expect(y.bytes == x.scaledRows(by: Tensor(weights, shape: [weights.count])).bytes)
        #expect(weights.allSatisfy { (0.8...1.2).contains($0) })
        #expect(cache.layers[0].count == 0)

        layer.reweightsSkipped = false
        let step = DecoderStep(rotations: rotary(Array(0..<30)), skippable: everything, trace: nil)
        #expect(layer(x, step, cache: cache.layers[0]).bytes == x.bytes)
    }

    private func plainLayerZero() throws -> LlamaDecoderLayer {
        var weights = RandomWeights(seed: 34)
        weights.llama(vocabulary: 50, size: 32, intermediate: 48, layers: 1, keyValueSize: 32)
        return LlamaDecoderLayer(Self.config, WeightReader(weights.tensors).scoped("model.layers.0"))
    }

    @Test("ties go to the lowest index")
    func ties() {
        let router = TokenRouter(
            router: Linear(weight: Tensor(repeating: 0, shape: [1, 32])), weightNorm: WeightNorm(.tanh),
            retentionRatio: 0.5)
        let decision = router(x, routed: routed)
        #expect(decision.kept == Array(0..<14) + Array(24..<30))
    }

    @Test("the kept count truncates a float32 product")
    func keptCount() {
        // From the reference: 2365 · .7644820051634812 is 1807.99... in double and 1808 in float32.
        let ratio = ProgressiveRatioDecay(curve: .shiftedCosine, maximum: 0.85, minimum: 0.15).ratio(
            layer: 10, factor: 0.5)
        #expect(TokenRouter.keptCount(of: 2365, ratio: ratio ?? 0) == 1808)
        #expect(TokenRouter.keptCount(of: 0, ratio: 1) == 0)
    }

    @Test(
        "a spelling that the reference does not know is refused",
        arguments: ["tanh_-1_0", "tanh_0_1", "tanh_1", "relu", "", "tanh_nan_1", "tanh_1_inf"])
    func weightNorms(text: String) {
        #expect(throws: PMoDConfigError.self) { try WeightNorm(parsing: text) }
    }

    @Test(
        "layer choices are those of the reference",
        arguments: [
            (PMoDConfig.TargetLayers.deepAll, [2, 3, 4]), (.deepAllIncludeLast, [2, 3, 4, 5]),
            (.interleave, [1, 3, 5]),
        ])
    func layerChoices(choice: PMoDConfig.TargetLayers, expected: [Int]) {
        let config = PMoDConfig(
            modTargetLayers: choice, modTargetTokenType: .all, modRouterFactor: 0.4, modWeightNorm: WeightNorm(.none),
            modBiasEnabled: false)
        let ratios = config.retentionRatios(layerCount: 6)
        #expect(ratios.indices.filter { ratios[$0] != nil } == expected)
        #expect(ratios.compactMap { $0 }.allSatisfy { $0 == 0.4 })
    }
}
