import Bytes
import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@Suite struct PeakMemoryTests {
    @Test("ask takes the weights as they are stored and little more", .tags(.slow), arguments: [true, false])
    func peak(isTied: Bool) throws {
        let model = try LargeModel(isTied: isTied)
        defer { try? FileManager.default.removeItem(at: model.directory) }
        let report = try answer(
            "--image", Pictures.png, "-m", "16", "--max-tokens", "3", "what?", model: model.directory.path)
        let peak = try #require(report["peak_rss_bytes"]?.int)
        print("peak memory of ask: \(peak / 1_000_000) MB, weights \(model.weightBytes / 1_000_000) MB")
        #expect(report["answer_tokens"]?.int == 3)
        #expect(Double(peak) <= 1.15 * Double(model.weightBytes) + 200e6)
        // Nothing as large as the embeddings is copied, let alone widened.
        #expect(peak - model.weightBytes < model.embeddingBytes)
        // All weights were read, or the figure would mean nothing.
        #expect(Double(peak) > 0.8 * Double(model.weightBytes))
    }

    @Test("quantize needs memory for a tensor at a time, not for what it writes", .tags(.slow))
    func quantize() throws {
        let model = try LargeModel(isTied: false)
        let out = model.directory.deletingLastPathComponent().appending(path: "out")
        defer { for directory in [model.directory, out] { try? FileManager.default.removeItem(at: directory) } }
        // KiB of memory that is not a file's: the largest tensor takes 68 MiB in Q8_0, all of them more than the limit.
        let limit = 200_000
        let command = try BuiltCommand("vlm").path
        let run = try BuiltCommand(path: "/bin/bash").run([
            "-c", "ulimit -d \(limit) && exec \"$@\"", "-", command, "quantize", model.directory.path, out.path,
            "--type",
            "q8_0", "--threads", "2",
        ])
        try #require(run.ending == .status(0), "\(run.stderr)")
        let file = out.appending(path: "decoder.gguf")
        let written = try #require(FileManager.default.attributesOfItem(atPath: file.path)[.size] as? Int)
        #expect(written > limit * 1024)
    }
}

/// A LLaVA checkpoint of some 400 MB in bfloat16: the tiny model's tower and tokenizer, a wider decoder, two shards.
private struct LargeModel {
    let directory: URL
    let weightBytes: Int
    let embeddingBytes: Int

    private static let (size, intermediate, vocabulary, layers) = (1024, 2816, 65_536, 10)

    init(isTied: Bool) throws {
        directory = try Fixtures.temporaryDirectory().appending(path: "large")
        try FileManager.default.copyItem(at: TinyModel.directory, to: directory)
        let own = directory.appending(path: "model.safetensors")
        var parts = try SafetensorsFile(path: own.path).tensors.filter {
            $0.key.contains("vision_tower") || $0.key.contains("query_abstractor")
        }
        try FileManager.default.removeItem(at: own)
        var seed: UInt64 = 0
        func matrix(_ rows: Int, _ columns: Int, spoken: Int? = nil) -> Tensor {
            seed += 1
            return Self.matrix(rows, columns, seed: seed, zeroFrom: spoken ?? rows)
        }
        let size = Self.size
        parts["model.query_abstractor.proj"] = matrix(64, size)
        // The tokenizer speaks the first 512 tokens: the others must not win.
        parts["model.embed_tokens.weight"] = matrix(Self.vocabulary, size, spoken: 512)
        if !isTied { parts["lm_head.weight"] = matrix(Self.vocabulary, size, spoken: 512) }
        let ones = Tensor(repeating: 1, shape: [size])
        parts["model.norm.weight"] = ones
        var layers: [String: Tensor] = [:]
        for layer in 0..<Self.layers {
            let prefix = "model.layers.\(layer)."
            for part in ["q_proj", "k_proj", "v_proj", "o_proj"] {
                layers[prefix + "self_attn.\(part).weight"] = matrix(size, size)
            }
            layers[prefix + "mlp.gate_proj.weight"] = matrix(Self.intermediate, size)
            layers[prefix + "mlp.up_proj.weight"] = matrix(Self.intermediate, size)
            layers[prefix + "mlp.down_proj.weight"] = matrix(size, Self.intermediate)
            layers[prefix + "input_layernorm.weight"] = ones
            layers[prefix + "post_attention_layernorm.weight"] = ones
        }
        let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
        var map: [String: String] = [:]
        var bytes = 0
        for (name, shard) in zip(names, [parts, layers]) {
            try SafetensorsWriter.write(shard, to: directory.appending(path: name).path)
            for (tensor, value) in shard {
                map[tensor] = name
                bytes += value.byteCount
            }
        }
        try JSONSerialization.data(withJSONObject: ["weight_map": map])
            .write(to: directory.appending(path: "model.safetensors.index.json"))
        weightBytes = bytes
        embeddingBytes = Self.vocabulary * size * 2
        try TinyModel.change(
            [
                "vocab_size": Self.vocabulary, "hidden_size": size, "intermediate_size": Self.intermediate,
                "num_hidden_layers": Self.layers, "num_attention_heads": 16, "num_key_value_heads": 16,
                "tie_word_embeddings": isTied, "mod_target_layers": nil,
            ], in: directory.appending(path: "config.json"))
    }

    /// Values of magnitude 1/64 to 1/32 and either sign.
    private static func matrix(_ rows: Int, _ columns: Int, seed: UInt64, zeroFrom end: Int) -> Tensor {
        var generator = SeededGenerator(seed: seed)
        var words = [UInt64](repeating: 0, count: rows * columns / 4)
        for index in 0..<end * columns / 4 {
            words[index] = generator.next() & 0x807F_807F_807F_807F | 0x3C80_3C80_3C80_3C80
        }
        return Tensor(copying: words.withUnsafeBytes { Array($0) }, shape: [rows, columns], elementType: .bfloat16)
    }
}
