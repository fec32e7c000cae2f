import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing

/// The published SmolLM2-135M-Instruct, which `scripts/fetch-smollm2` brings.
enum SmolLM2 {
    static let url = Fixtures.cache.appending(
        path: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53/SmolLM2-135M-Instruct.Q4_1.gguf")

    /// Whether the file is there; says how to get it if not.
    static let isThere: Bool = {
        let isThere = FileManager.default.fileExists(atPath: url.path)
        if !isThere { print("SmolLM2 is not in fixtures/.cache: its tests are skipped; run scripts/fetch-smollm2") }
        return isThere
    }()
}

@Suite("SmolLM2 from GGUF", .enabled(if: SmolLM2.isThere))
struct SmolLM2Tests {
    /// "The capital of France is".
    private let ids = [504, 3575, 282, 4649, 314]
    /// Logits after the prompt, in float32 on dequantised weights, by an independent implementation in NumPy.
    private let expected: [(id: Int, logit: Float)] = [(7042, 17.371), (260, 14.889), (4528, 13.245)]

    private func logits(_ decoder: LlamaModel, ids: [Int], inPieces sizes: [Int]) -> [Float] {
        var cache = KVCache(decoder.config)
        var start = 0
        var last: [Float] = []
        for size in sizes {
            let states = decoder.hiddenStates(decoder.embedTokens(Array(ids[start..<start + size])), cache: &cache)
            last = decoder.logits(states[size - 1..<size]).floats
            start += size
        }
        return last
    }

    @Test(
        "the logits of a known prompt are the published ones, at once and token by token",
        arguments: [[5], [1, 1, 1, 1, 1]])
    func logits(pieces: [Int]) throws {
        let model = try LLaVAModel.load(from: SmolLM2.url.path)
        #expect(model.vision == nil && model.config.mmVisionTower == nil)
        #expect(model.config.llama.numHiddenLayers == 30 && model.config.llama.numKeyValueHeads == 3)
        #expect(model.config.llama.tieWordEmbeddings && model.config.eosTokenIds == [2])
        let values = logits(model.decoder, ids: ids, inPieces: pieces)
        let top = values.indices.sorted { values[$0] > values[$1] }.prefix(3)
        #expect(Array(top) == expected.map(\.id))
        for (id, logit) in expected { #expect(abs(values[id] - logit) < 0.02, "\(id): \(values[id])") }
    }

    @Test("a prompt long enough for packed weights gives the logits of token-by-token decoding")
    func packed() throws {
        let model = try LLaVAModel.load(from: SmolLM2.url.path)
        let ids = (0..<12).flatMap { _ in self.ids }
        let packed = logits(model.decoder, ids: ids, inPieces: [60])
        let stepped = logits(model.decoder, ids: ids, inPieces: Array(repeating: 1, count: 60))
        // The same products in another order: roundings of logits of order 20 through 30 layers.
        #expect(zip(packed, stepped).allSatisfy { abs($0 - $1) < 2e-3 })
    }

    @Test(
        "written again in other types with its tokenizer, it still knows the capital",
        arguments: [ElementType.float16, .q8_0])
    func rewritten(type: ElementType) throws {
        let file = try GGUFFile(path: SmolLM2.url.path)
        let (config, tensors) = try GGUFCheckpoint(file).llama()
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appending(path: "again.gguf").path
        let tokenizer = file.metadata.filter { $0.key.hasPrefix("tokenizer.") }
        try GGUFCheckpoint.write(config, tensors, as: type, metadata: tokenizer, to: path)
        #expect(try GGUFFile(path: path).metadata.filter { $0.key.hasPrefix("tokenizer.") } == tokenizer)
        let model = try LLaVAModel.load(from: path)
        let values = logits(model.decoder, ids: ids, inPieces: [5])
        // float16 holds four-bit codes times a float16 scale to 11 bits; eight bits of them move logits a little more.
        let tolerance: Float = type == .float16 ? 0.02 : 0.2
        for (id, logit) in expected { #expect(abs(values[id] - logit) < tolerance, "\(id): \(values[id])") }
    }
}
