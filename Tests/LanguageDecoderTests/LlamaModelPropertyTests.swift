import Foundation
import LanguageDecoder
import NeuralNetwork
import Tensors
import TestSupport
import Testing

@Suite struct LlamaModelPropertyTests {
    private static let config = LlamaConfig(
        vocabSize: 50, hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 3, numAttentionHeads: 4,
        numKeyValueHeads: 2, maxPositionEmbeddings: 128, rmsNormEps: 1e-5, ropeTheta: 10_000, ropeScalingFactor: 1,
        tieWordEmbeddings: false)

    private let model: LlamaModel = {
        var weights = RandomWeights(seed: 21)
        weights.llama(vocabulary: 50, size: 32, intermediate: 48, layers: 3, keyValueSize: 16)
        return LlamaModel(config, WeightReader(weights.tensors))
    }()

    private let ids = (0..<40).map { ($0 * 17 + 3) % 50 }

    /// Final hidden states of `ids` given in pieces of the given sizes.
    private func states(inPieces sizes: [Int]) -> Tensor {
        var cache = KVCache(Self.config)
        var start = 0
        let parts = sizes.map { size in
            defer { start += size }
            return model.hiddenStates(model.embedTokens(Array(ids[start..<start + size])), cache: &cache)
        }
        return Tensor.concatenatingRows(parts)
    }

    @Test("prefill in pieces equals prefill at once", arguments: [[20, 20], [1, 39], [39, 1], [7, 13, 3, 17]])
    func pieces(sizes: [Int]) {
        // The same sums in another order: a few roundings of values of order 1.
        #expect(states(inPieces: sizes).distance(to: states(inPieces: [40])) < 2e-5)
    }

    @Test("decoding token by token with a cache equals a pass over everything")
    func cached() {
        #expect(states(inPieces: Array(repeating: 1, count: 40)).distance(to: states(inPieces: [40])) < 2e-5)
    }

    @Test("the last state of a prompt is the last of all, and the cache goes on from either", arguments: [0, 7, 39])
    func lastState(known: Int) {
        func run(_ prompt: (Tensor, inout KVCache) -> Tensor) -> (last: Tensor, next: Tensor, extent: KVCache.Extent) {
            var cache = KVCache(Self.config)
            if known > 0 { _ = model.hiddenStates(model.embedTokens(Array(ids[..<known])), cache: &cache) }
            let h = prompt(model.embedTokens(Array(ids[known...])), &cache)
            let next = model.hiddenStates(model.embedTokens([5]), cache: &cache)
            return (h[h.rows - 1..<h.rows], next, cache.extent)
        }
        let all = run { model.hiddenStates($0, cache: &$1) }
        let last = run { model.lastHiddenState($0, cache: &$1) }
        // The same sums in another order, as above.
        #expect(last.last.distance(to: all.last) < 2e-5)
        #expect(last.next.distance(to: all.next) < 2e-5)
        #expect(last.extent == all.extent)
    }

    @Test("whole sequences without a cache are the cached pass, byte for byte")
    func uncached() {
        #expect(model.hiddenStates(ofSequence: model.embedTokens(ids)).bytes == states(inPieces: [40]).bytes)
    }

    /// Gradients of a loss on two questions behind one prefix, by name.
    private func gradients(threads: Int, _ states: (LlamaModel, Tensor) -> Tensor) -> [String: Tensor] {
        var weights = RandomWeights(seed: 21)
        weights.llama(vocabulary: 50, size: 32, intermediate: 48, layers: 3, keyValueSize: 16)
        let reader = WeightReader(weights.tensors) { _ in true }
        let model = LlamaModel(Self.config, reader)
        let labels = ids.indices.map { $0 < 16 ? CrossEntropyLoss.ignoredLabel : (ids[$0] + 1) % 50 }
        ComputeContext(threads: threads, memory: threads > 1 ? MemoryPool() : nil).run {
            let h = states(model, model.embedTokens(ids))
            CrossEntropyLoss.sum(hiddenStates: h, labels: labels, head: model.logits).loss.backward()
        }
        return Dictionary(uniqueKeysWithValues: reader.parameters.map { ($0.name, $0.gradient ?? $0.tensor) })
    }

    @Test("checkpointed layers, more threads and memory used again give the same gradients, byte for byte")
    func sameGradients() {
        let kept = gradients(threads: 1) { $0.hiddenStates(ofSequence: $1) }
        let again = gradients(threads: 2) { $0.hiddenStates(ofSequence: $1, checkpointing: true) }
        #expect(kept.count == 3 * 9 + 3)
        for (name, gradient) in kept { #expect(gradient.bytes == again[name]?.bytes, "\(name)") }
    }

    @Test("questions packed behind one prefix give what each gives alone behind it")
    func packedQuestions() {
        // 16 tokens of prefix, then 11 and 13 tokens that see it and themselves, at positions from 16 on.
        let packed = gradients(threads: 2) { model, x in
            model.hiddenStates(
                ofSequence: x, positions: Array(0..<27) + Array(16..<29),
                mask: .prefixed(
                    prefix: (0..<40).map { 0..<min($0 + 1, 16) },
                    own: (0..<40).map { $0 < 16 ? 16..<16 : ($0 < 27 ? 16 : 27)..<$0 + 1 }))
        }
        let apart = gradients(threads: 2) { model, x in
            let second = Tensor.concatenatingRows([x[0..<16], x[27..<40]])
            return Tensor.concatenatingRows([
                model.hiddenStates(ofSequence: x[0..<27]), model.hiddenStates(ofSequence: second)[16..<29],
            ])
        }
        // The same sums in another order, of gradients up to about 10.
        for (name, gradient) in packed { #expect(gradient.distance(to: apart[name] ?? gradient) < 1e-4, "\(name)") }
    }

    @Test("a later token does not change an earlier one")
    func causality() {
        var cache = KVCache(Self.config)
        let all = model.hiddenStates(model.embedTokens(ids), cache: &cache)
        var other = KVCache(Self.config)
        let changed = model.hiddenStates(model.embedTokens(Array(ids.dropLast()) + [0]), cache: &other)
        #expect(all[0..<39].bytes == changed[0..<39].bytes)
        #expect(all[39].bytes != changed[39].bytes)
    }

    @Test("the cache knows its bytes")
    func cacheBytes() {
        var cache = KVCache(Self.config, capacity: 64)
        #expect(cache.usedBytes == 0)
        _ = model.hiddenStates(model.embedTokens(ids), cache: &cache)
        #expect(cache.usedBytes == 3 * 2 * 40 * 16 * 4)
        #expect(cache.allocatedBytes == 3 * 2 * 64 * 16 * 4)
        #expect(cache.nextPosition == 40)
    }

    @Test("the bytes do not depend on the number of threads")
    func threads() {
        let results = [1, 2, 5].map { ComputeContext(threads: $0).run { states(inPieces: [30, 10]).bytes } }
        #expect(results[0] == results[1] && results[0] == results[2])
    }

    @Test(
        "a configuration that cannot be computed is refused by the key at fault",
        arguments: [
            (#""num_attention_heads": 5"#, "num_attention_heads"),
            (#""num_key_value_heads": 3"#, "num_key_value_heads"),
            (#""hidden_act": "gelu""#, "hidden_act"), (#""vocab_size": -1"#, "vocab_size"),
            (#""rope_scaling": {"type": "yarn", "factor": 2}"#, "rope_scaling.type"),
            (#""num_hidden_layers": 1000000000"#, "num_hidden_layers"),
        ])
    func configurations(override: String, key: String) throws {
        let base =
            #""vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4"#
        let name = override.prefix { $0 != ":" }
        let kept = base.components(separatedBy: ", ").filter { !$0.hasPrefix(name) }
        let json = "{" + (kept + [override]).joined(separator: ", ") + "}"
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let error = #expect(throws: LlamaConfigError.self) {
            try decoder.decode(LlamaConfig.self, from: Data(json.utf8))
        }
        #expect(error?.description.contains(key) == true)
    }
}
