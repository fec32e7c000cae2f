import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing

@Suite("Decoders in GGUF files")
struct GGUFCheckpointTests {
    private static let config = LlamaConfig(
        vocabSize: 50, hiddenSize: 64, intermediateSize: 96, numHiddenLayers: 2, numAttentionHeads: 4,
        numKeyValueHeads: 2, maxPositionEmbeddings: 128, rmsNormEps: 1e-5, ropeTheta: 20_000, ropeScalingFactor: 2,
        tieWordEmbeddings: false)

    private let tensors: [String: Tensor] = {
        var weights = RandomWeights(seed: 61)
        weights.llama(vocabulary: 50, size: 64, intermediate: 96, layers: 2, keyValueSize: 32)
        return weights.tensors
    }()

    private func path(_ name: String = "model.gguf") throws -> String {
        try Fixtures.temporaryDirectory().appending(path: name).path
    }

    private func logits(_ decoder: LlamaModel) -> Tensor {
        var cache = KVCache(decoder.config)
        return decoder.logits(decoder.hiddenStates(decoder.embedTokens([3, 14, 15, 9, 26]), cache: &cache))
    }

    @Test(
        "a decoder that was written and loaded computes what its converted weights compute",
        arguments: [ElementType.float32, .float16, .q8_0, .q4_0])
    func roundTrip(type: ElementType) throws {
        let path = try path()
        try GGUFCheckpoint.write(
            Self.config, tensors, as: type, metadata: ["tokenizer.ggml.eos_token_id": .uint32(7)], to: path)
        let model = try LLaVAModel.load(from: path)
        #expect(model.config.llama == Self.config && model.vision == nil && model.config.eosTokenIds == [7])
        let converted = try tensors.mapValues { try $0.rank == 2 ? $0.converted(to: type) : $0 }
        let expected = LlamaModel(Self.config, WeightReader(converted))
        #expect(logits(model.decoder).bytes == logits(expected).bytes)
        // The order of rows makes no difference to where a file is right for us; it does to llama.cpp: see below.
        let loaded = try GGUFCheckpoint(GGUFFile(path: path)).llama().tensors
        #expect(loaded.mapValues(\.bytes) == converted.mapValues(\.bytes))
    }

    @Test("rows of query and key heads are interleaved in the file, others are not")
    func rowOrder() throws {
        let path = try path()
        try GGUFCheckpoint.write(Self.config, tensors, as: .float32, to: path)
        let file = try GGUFFile(path: path)
        for (name, other, heads) in [("attn_q", "q_proj", 4), ("attn_k", "k_proj", 2)] {
            let written = try #require(file.tensors["blk.1.\(name).weight"])
            let original = try #require(tensors["model.layers.1.self_attn.\(other).weight"])
            // As llama.cpp's converter: reshape to [heads, 2, K/2, D], exchange the middle axes.
            for head in 0..<heads {
                for half in 0..<2 {
                    for element in 0..<8 {
                        #expect(
                            written[head * 16 + 2 * element + half].bytes
                                == original[head * 16 + 8 * half + element].bytes)
                    }
                }
            }
        }
        #expect(file.tensors["blk.1.attn_v.weight"]?.bytes == tensors["model.layers.1.self_attn.v_proj.weight"]?.bytes)
        #expect(
            file.metadata["general.architecture"] == .string("llama")
                && file.metadata["general.file_type"] == .uint32(0))
        #expect(file.metadata["llama.rope.dimension_count"] == .uint32(16))
    }

    @Test("without an output matrix the embeddings are tied")
    func tied() throws {
        var config = Self.config
        config.tieWordEmbeddings = true
        let path = try path()
        try GGUFCheckpoint.write(config, tensors, as: .q8_0, to: path)
        let model = try LLaVAModel.load(from: path)
        #expect(model.config.llama.tieWordEmbeddings)
        #expect(try GGUFFile(path: path).tensors["output.weight"] == nil)
        #expect(logits(model.decoder).shape == [5, 50])
    }

    @Test("values of the configuration can be replaced")
    func overrides() throws {
        let path = try path()
        try GGUFCheckpoint.write(Self.config, tensors, as: .float32, to: path)
        var options = LoadOptions()
        options.configOverrides = [("rope_theta", "10000")]
        #expect(try LLaVAModel.load(from: path, options: options).config.llama.ropeTheta == 10_000)
    }

    @Test(
        "a file that is no plain LLaMA is refused by the key at fault",
        arguments: [
            ("general.architecture", .string("qwen2")), ("general.architecture", nil), ("llama.block_count", nil),
            ("llama.block_count", .string("2")), ("llama.block_count", .uint32(100_000)),
            ("llama.embedding_length", nil),
            ("llama.attention.head_count", .uint32(0)), ("llama.attention.head_count", .uint32(5)),
            ("llama.attention.head_count_kv", .uint32(3)),
            ("llama.attention.head_count_kv", .array(.uint32([2, 2]))), ("llama.rope.dimension_count", .uint32(8)),
            ("llama.attention.layer_norm_rms_epsilon", nil),
            ("llama.attention.layer_norm_rms_epsilon", .float32(.nan)), ("llama.rope.scaling.type", .string("yarn")),
            ("llama.rope.scaling.factor", .float32(0)), ("llama.expert_count", .uint32(8)),
            ("llama.vocab_size", .uint32(51)), ("llama.feed_forward_length", .uint32(0)),
        ] as [(String, GGUFValue?)])
    func refusals(key: String, value: GGUFValue?) throws {
        let whole = try path()
        try GGUFCheckpoint.write(Self.config, tensors, as: .float32, to: whole)
        let file = try GGUFFile(path: whole)
        var metadata = file.metadata
        metadata[key] = value
        let path = try path()
        try GGUFWriter.write(file.tensors, metadata: metadata, to: path)
        let error = #expect(throws: CheckpointError.self) { try LLaVAModel.load(from: path) }
        #expect(error?.description.contains(key) == true, "\(error?.description ?? "nothing")")
    }

    @Test("tensors that are missing, of another shape or without a place are refused by name")
    func tensorRefusals() throws {
        let whole = try path()
        try GGUFCheckpoint.write(Self.config, tensors, as: .float32, to: whole)
        let file = try GGUFFile(path: whole)
        let changes: [(String, Tensor?, named: String)] = [
            ("blk.1.ffn_up.weight", nil, "model.layers.1.mlp.up_proj.weight"),
            ("blk.1.attn_q.weight", Tensor(repeating: 0, shape: [32, 64]), "blk.1.attn_q.weight"),
            ("blk.1.attn_q.bias", Tensor(repeating: 0, shape: [64]), "blk.1.attn_q.bias"),
            ("rope_freqs.weight", Tensor(repeating: 0, shape: [8]), "rope_freqs.weight"),
            ("blk.2.ffn_up.weight", Tensor(repeating: 0, shape: [96, 64]), "blk.2.ffn_up.weight"),
            ("token_embd.weight", nil, "token_embd.weight"),
        ]
        for (name, tensor, named) in changes {
            var tensors = file.tensors
            tensors[name] = tensor
            let path = try path()
            try GGUFWriter.write(tensors, metadata: file.metadata, to: path)
            do {
                _ = try LLaVAModel.load(from: path)
                Issue.record("\(name) was accepted")
            } catch {
                #expect("\(error)".contains(named), "\(error)")
            }
        }
        var fewer = tensors
        fewer["model.norm.weight"] = nil
        #expect(throws: CheckpointError.self) { try GGUFCheckpoint.write(Self.config, fewer, as: .float32, to: whole) }
        var more = tensors
        more["model.mm_projector.weight"] = Tensor(repeating: 0, shape: [1])
        #expect(throws: CheckpointError.self) { try GGUFCheckpoint.write(Self.config, more, as: .float32, to: whole) }
    }
}
