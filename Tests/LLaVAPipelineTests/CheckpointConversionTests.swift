import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing
import Tokenization

@Suite("Converting checkpoints")
struct CheckpointConversionTests {
    private let parts: TinyParts

    init() throws { parts = try TinyParts() }

    @Test("safetensors, GGUF and safetensors again hold the same bits", arguments: [ElementType.float32, .float16])
    func roundTrip(type: ElementType) throws {
        let source = parts.path("source")
        let typed = try TinyParts.decoderTensors.mapValues { $0.rank == 2 ? try $0.converted(to: type) : $0 }
        try FileManager.default.copyItem(atPath: parts.decoder.path, toPath: source)
        try SafetensorsWriter.write(typed, to: source + "/model.safetensors")

        _ = try CheckpointConversion(source, to: parts.path("a.gguf"), as: nil)
        let back = try CheckpointConversion(parts.path("a.gguf"), to: parts.path("back"), as: nil)
        #expect(back.files.sorted() == ["config.json", "model.safetensors", "tokenizer.gguf"])
        let tensors = try SafetensorsFile(path: parts.path("back/model.safetensors")).tensors
        #expect(tensors.mapValues(\.bytes) == typed.mapValues(\.bytes))
        #expect(tensors.mapValues(\.elementType) == typed.mapValues(\.elementType))

        // The third file is the first one: nothing is lost on the way, words included.
        _ = try CheckpointConversion(parts.path("back"), to: parts.path("b.gguf"), as: nil)
        #expect(
            try Data(contentsOf: URL(filePath: parts.path("a.gguf")))
                == Data(contentsOf: URL(filePath: parts.path("b.gguf"))))
        let (first, last) = (try LLaVAModel.load(from: source), try LLaVAModel.load(from: parts.path("back")))
        #expect(first.config.llama == last.config.llama && first.config.eosTokenIds == last.config.eosTokenIds)
    }

    @Test("rounding that changes nothing is refused, and the rest gives what the converted file gives")
    func quantization() throws {
        let (plain, blocks) = (parts.decoder.path, parts.path("blocks.gguf"))
        _ = try CheckpointConversion(plain, to: blocks, as: .q8_0)
        func load(_ path: String, _ quantization: Quantization) throws -> LLaVAModel {
            var options = LoadOptions()
            options.quantization = quantization
            return try LLaVAModel.load(from: path, options: options)
        }
        for (path, quantization) in [
            (plain, Quantization(encoder: .int8)), (blocks, Quantization(encoder: .int8, decoder: .q4_0)),
        ] {
            #expect(throws: LLaVAError.self) { try load(path, quantization) }
        }
        // The file's embeddings are rounded too; from the same ones on both multiply the same blocks.
        let embeddings = try load(plain, Quantization()).decoder.embedTokens([1, 5, 9, 2, 7])
        func states(_ model: LLaVAModel, _ products: QuantizedProducts) -> [Float] {
            var context = ComputeContext()
            context.quantizedProducts = products
            return context.run {
                var cache = KVCache(model.decoder.config, capacity: 5)
                return model.decoder.hiddenStates(embeddings, cache: &cache).floats
            }
        }
        let rounded = try load(plain, Quantization(encoder: .int8, decoder: .q8_0))
        #expect(states(rounded, .exact) == states(try load(plain, Quantization()), .native))
        #expect(states(rounded, .native) != states(rounded, .exact))
        #expect(states(rounded, .native) == states(try load(blocks, Quantization()), .native))
    }

    @Test(
        "the words of a converted decoder give the ids of the original",
        arguments: ["plain", "with <s> inside", "é😀\n"])
    func words(text: String) throws {
        _ = try CheckpointConversion(parts.decoder.path, to: parts.path("a.gguf"), as: .q8_0)
        let original = try TokenizerFiles(TokenizerFiles.Location(of: CheckpointDirectory(path: parts.decoder.path)))
        let converted = try TokenizerFiles(TokenizerFiles.Location(of: CheckpointDirectory(path: parts.path("a.gguf"))))
        #expect(converted.tokenizer.encode(text) == original.tokenizer.encode(text))
        #expect(converted.tokenizer.eosID == original.tokenizer.eosID)
    }

    @Test("matrices take the type asked for, norms stay float32")
    func types() throws {
        for type in CheckpointConversion.types {
            let path = parts.path("\(type.rawValue).gguf")
            _ = try CheckpointConversion(parts.decoder.path, to: path, as: type)
            for (name, tensor) in try GGUFFile(path: path).tensors {
                #expect(tensor.elementType == (tensor.rank == 2 ? type : .float32), "\(name)")
            }
        }
        _ = try CheckpointConversion(parts.path("Q4_0.gguf"), to: parts.path("wide.safetensors"), as: nil)
        let wide = try SafetensorsFile(path: parts.path("wide.safetensors")).tensors
        #expect(wide.values.allSatisfy { $0.elementType == .float32 })
        #expect(Set(wide.keys) == Set(TinyParts.decoderTensors.keys))
    }

    @Test("what the target cannot hold is refused or named, and nothing is overwritten")
    func refusals() throws {
        let target = parts.path("x.gguf")
        #expect(throws: CheckpointError.self) {
            try CheckpointConversion(parts.tower.path, to: target, as: nil)  // no decoder
        }
        #expect(throws: CheckpointError.self) {
            try CheckpointConversion(parts.decoder.path, to: parts.path("x.safetensors"), as: .q8_0)
        }
        #expect(throws: CheckpointError.self) { try CheckpointConversion(parts.decoder.path, to: target, as: .q4_K) }
        #expect(!FileManager.default.fileExists(atPath: target))
        _ = try CheckpointConversion(parts.decoder.path, to: target, as: nil)
        #expect(throws: CheckpointError.self) { try CheckpointConversion(parts.decoder.path, to: target, as: nil) }

        let llava = Fixtures.golden.appending(path: "llava/checkpoint_bin").path
        var tensors = try CheckpointDirectory(path: llava).tensors
        let conversion = try CheckpointConversion(llava, to: parts.path("all.safetensors"), as: nil)
        #expect(conversion.leftOut.isEmpty)
        let written = try SafetensorsFile(path: parts.path("all.safetensors")).tensors
        for (name, tensor) in written { #expect(tensors.removeValue(forKey: name)?.bytes == tensor.bytes) }
        #expect(tensors.isEmpty)
    }
}
