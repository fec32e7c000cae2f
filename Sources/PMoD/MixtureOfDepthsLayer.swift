public import LanguageDecoder
import NeuralNetwork
public import Tensors

/// A decoder layer that processes only some of the visual tokens, and reweights all of them.
///
/// Symmetric token reweighting (STRing): with w the router's weight, a processed visual token leaves as
/// (h + attention) + w · feedForward, a skipped one as w · h; text is untouched. Kept tokens attend among themselves at
/// their original positions, and only they enter the key/value cache. Without visual tokens, as in decoding, the layer
/// is the plain one.
///
/// Source: p-MoD (arXiv 2412.04449), section 3; `ModLayer.forward` at 459f6df.
public struct MixtureOfDepthsLayer: DecoderLayer {
    let decoderLayer: LlamaDecoderLayer
    let router: TokenRouter
    /// Whether a skipped token leaves as w · h, or else as h.
    var reweightsSkipped = true
    /// Index of the layer, for the trace.
    let index: Int

    /// The layer applied to T new tokens, `[T, D]` -> `[T, D]`; only the tokens it keeps enter the cache.
    public func callAsFunction(_ x: Tensor, _ step: DecoderStep, cache: LayerKeyValues?) -> Tensor {
        guard let routed = step.skippable, routed.contains(true) else {
            step.trace?.record("pmod.kept.\(index)", Tensor(integers: Array(0..<x.rows), shape: [x.rows]))
            return decoderLayer(x, step, cache: cache)
        }
        let decision = router(x, routed: routed, sequences: step.sequences)
        record(decision, to: step.trace)
        let kept = decision.kept

        // [T, D]; the rows of kept tokens are replaced below.
        let skipped = reweightsSkipped ? x.scaledRows(by: decision.factors) : x
        if kept.isEmpty { return skipped }
        let h = decoderLayer.attended(  // [kept, D]
            x.gatheredRows(kept), step.gathered(kept, of: x.rows), cache: cache)
        let branch = decoderLayer.feedForward(h).scaledRows(by: decision.factors.gatheredRows(kept))
        return skipped.replacingRows(kept, with: h + branch)  // [T, D]
    }

    /// The last of T new tokens, `[T, D]` -> `[1, D]`: behind a picture it is text, which is always kept.
    public func lastState(_ x: Tensor, _ step: DecoderStep, cache: LayerKeyValues) -> Tensor {
        guard let routed = step.skippable, routed.contains(true) else {
            return decoderLayer.lastState(x, step, cache: cache)
        }
        guard routed.last == false else {
            let states = self(x, step, cache: cache)
            return states[states.rows - 1..<states.rows]
        }
        let kept = router(x, routed: routed, sequences: step.sequences).kept
        return decoderLayer.lastState(x.gatheredRows(kept), step.gathered(kept, of: x.rows), cache: cache)
    }

    private func record(_ decision: TokenRouter.Decision, to trace: Trace?) {
        guard let trace else { return }
        trace.record("pmod.kept.\(index)", Tensor(integers: decision.kept, shape: [decision.kept.count]))
        trace.record("pmod.router_logits.\(index)", Tensor(decision.scores, shape: [1, decision.scores.count]))
        trace.record("pmod.weight.\(index)", Tensor(decision.weights, shape: [1, decision.weights.count]))
    }
}
