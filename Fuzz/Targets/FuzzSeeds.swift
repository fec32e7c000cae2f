public import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import Tensors
import TestSupport
import Tokenization

/// Small sound files of every kind, from which damaged ones are made.
public enum FuzzSeeds {
    /// The seeds of a target: files of the fixtures, and generated ones where those are missing or large.
    public static func of(_ target: FuzzTarget) throws -> [[UInt8]] {
        switch target {
        case .safetensors: try [tensors(), fixture("golden/llava/adamw.safetensors")]
        case .pyTorch: try [fixture("golden/llava/torch_zip_odd.bin"), fixture("golden/llava/query_abstractor.bin")]
        case .gguf:
            try [
                ggufModel(.float32, PlainVocabulary(tokenizerJSON: Data(byteLevelTokenizer.utf8), file: "seed")),
                ggufModel(.q8_0, pieces()), ggufValues(),
            ]
        case .onnx: onnx()
        case .sentencePiece:
            try [
                fixture("tiny-model/tokenizer.model"), fixture("tokenizer-variants/no-byte-fallback.model"),
                fixture("tokenizer-variants/user-defined.model"),
            ]
        case .tokenizerJSON: [Array(byteLevelTokenizer.utf8)]
        case .tokenizerConfig: try [Array(tokenizerConfig.utf8), fixture("tiny-model/tokenizer_config.json")]
        case .model: [Array(assembledModel.utf8)]
        case .json:
            try [
                "tiny-model/config.json", "tiny-model/vision_tower/config.json", "golden/pmod/model/config.json",
                "tiny-model/vision_tower/preprocessor_config.json", "golden/llava/checkpoint_bin/config.json",
                "golden/clip_vit/full_clip/config.json", "tiny-model/tokenizer_config.json",
            ].map(fixture)
        case .png: try pictures("png")
        case .jpeg:
            // One of them also as if it were coded arithmetically, which makes another picture of the same data.
            try pictures("jpg") + pictures("jpg").compactMap(arithmetic).prefix(1)
        case .index:
            try [
                Array(
                    #"{"metadata": {"total_size": 8}, "weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}"#
                        .utf8),
                fixture("golden/llava/checkpoint_safetensors/model.safetensors.index.json"),
            ]
        }
    }

    /// Writes the seeds of every target into a directory of its name.
    public static func write(to directory: URL) throws {
        for target in FuzzTarget.allCases {
            let folder = directory.appending(path: target.rawValue)
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            for (index, seed) in try of(target).enumerated() {
                try Data(seed).write(to: folder.appending(path: "seed-\(index)"))
            }
        }
    }

    private static func fixture(_ path: String) throws -> [UInt8] {
        try Array(Data(contentsOf: Fixtures.directory.appending(path: path)))
    }

    /// The pictures of the golden set that are small enough to be changed many times a second.
    private static func pictures(_ suffix: String) throws -> [[UInt8]] {
        let directory = Fixtures.directory.appending(path: "golden/image/files")
        return try FileManager.default.contentsOfDirectory(atPath: directory.path).sorted()
            .filter { $0.hasSuffix("." + suffix) }
            .map { try Array(Data(contentsOf: directory.appending(path: $0))) }.filter { $0.count < 4000 }
    }

    private static func arithmetic(_ jpeg: [UInt8]) -> [UInt8]? {
        guard let frame = jpeg.indices.first(where: { jpeg[$0...].starts(with: [0xFF, 0xC0]) }) else { return nil }
        return jpeg[...frame] + [0xC9] + jpeg[(frame + 2)...]
    }

    private static func written(_ write: (String) throws -> Void) throws -> [UInt8] {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let file = directory.appending(path: "seed")
        try write(file.path)
        return try Array(Data(contentsOf: file))
    }
}

// MARK: - Generated

extension FuzzSeeds {
    private static func tensors() throws -> [UInt8] {
        let tensors = [
            "a": Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3]), "b.weight": Tensor(integers: [1, 2], shape: [2]),
            "empty": Tensor([], shape: [0, 4]),
            "half": Tensor(copying: [0, 1, 2, 3], shape: [2], elementType: .bfloat16),
        ]
        return try written { try SafetensorsWriter.write(tensors, to: $0) }
    }

    private static func ggufModel(_ type: ElementType, _ vocabulary: PlainVocabulary) throws -> [UInt8] {
        let config = LlamaConfig(
            vocabSize: 6, hiddenSize: 32, intermediateSize: 32, numHiddenLayers: 1, numAttentionHeads: 2,
            numKeyValueHeads: 1, maxPositionEmbeddings: 16, rmsNormEps: 1e-5, ropeTheta: 10_000, ropeScalingFactor: 2,
            tieWordEmbeddings: false)
        var weights = RandomWeights(seed: 5)
        weights.llama(vocabulary: 6, size: 32, intermediate: 32, layers: 1, keyValueSize: 16)
        return try written {
            try GGUFCheckpoint.write(config, weights.tensors, as: type, metadata: vocabulary.ggufMetadata, to: $0)
        }
    }

    private static func pieces() throws -> PlainVocabulary {
        let model = try SentencePieceModel(bytes: fixture("tokenizer-variants/no-byte-fallback.model"), file: "seed")
        let tokenizer = try SentencePieceTokenizer(model)
        return PlainVocabulary(LlamaTokenizer(tokenizer, configuration: LlamaTokenizerConfiguration()))
    }

    /// A file with a value of every type and little else.
    private static func ggufValues() throws -> [UInt8] {
        let values: [GGUFValue] = [
            .uint8(1), .int8(-1), .uint16(2), .int16(-2), .uint32(3), .int32(-3), .uint64(4), .int64(-4), .float32(0.5),
            .float64(-0.5), .bool(true), .string("text"), .array(.bool([true, false])), .array(.uint8([1, 2])),
            .array(.float64([1])), .array(.array([.int16([1, 2]), .string(["x"]), .array([.int8([])])])),
        ]
        var metadata: [String: GGUFValue] = ["general.architecture": .string("llama")]
        for (index, value) in values.enumerated() { metadata["v\(index)"] = value }
        return try written {
            try GGUFWriter.write(["t": Tensor([1, 2], shape: [1, 2])], metadata: metadata, to: $0)
        }
    }

    private static func onnx() -> [[UInt8]] {
        let matrix = Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
        let nodes = [
            ONNXBytes.node("MatMul", "/encoder/fc1/MatMul", inputs: ["x", "onnx::MatMul_1"], outputs: ["y"]),
            ONNXBytes.node(
                "Gemm", "/encoder/fc2/Gemm", inputs: ["y", "onnx::Gemm_2", "bias"], attributes: ["transB": 1]),
        ]
        let initializers = [
            ONNXBytes.tensor("onnx::MatMul_1", matrix), ONNXBytes.tensor("onnx::Gemm_2", matrix),
            ONNXBytes.tensor("bias", shape: [2], dataType: 1) {
                $0.raw(4, wireType: 5, [0, 0, 128, 63]); $0.raw(4, wireType: 5, [0, 0, 0, 64])
            },
            ONNXBytes.tensor("numbers", shape: [3], dataType: 7) { $0.bytes(7, [1, 2, 3]) },
            ONNXBytes.tensor("scalar", shape: [], dataType: 6) { $0.integer(5, -7) },
        ]
        return [
            ONNXBytes.model(nodes: nodes, initializers: initializers),
            ONNXBytes.model(initializers: [ONNXBytes.tensor("w", matrix)]),
        ]
    }

    private static let tokenizerConfig = #"""
        {"tokenizer_class":"LlamaTokenizer","legacy":false,"add_bos_token":true,"add_eos_token":false,
        "added_tokens_decoder":{"0":{"content":"<unk>","special":true},"512":{"content":"<tool>","lstrip":true,
        "rstrip":false,"single_word":true,"special":false}},"bos_token":{"content":"<s>","lstrip":false},
        "eos_token":"</s>","unk_token":"<unk>","pad_token":null,"additional_special_tokens":["<tool>"],
        "model_max_length":1e30,"chat_template":"{{ '<|im_start|>' + message['role'] }}<|im_end|>"}
        """#

    private static let assembledModel = #"""
        {"format":"vlm-assembled-model","version":1,"decoder":{"path":"/models/a.gguf","files":{"a.gguf":
        {"bytes":5,"sha256":"00"}}},"vision_tower":{"path":"vit","files":{"vit.onnx":{"bytes":6,"sha256":"01"}}},
        "connector":{"path":"c.safetensors","files":{"c.safetensors":{"bytes":7,"sha256":"02"}}},
        "config":{"mm_vision_select_layer":-3,"untrained":true,"rope_theta":1.5,"mm_vision_tower":"vit"}}
        """#

    private static let byteLevelTokenizer = #"""
        {"version":"1.0","added_tokens":[{"id":0,"content":"<|im_end|>","special":true,"lstrip":true},
        {"id":1,"content":"<tool>","special":false,"rstrip":true}],"normalizer":{"type":"NFC"},
        "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},
        {"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]},
        "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|im_end|>"}},{"Sequence":{"id":"A"}}]},
        "decoder":{"type":"ByteLevel"},"model":{"type":"BPE","unk_token":null,"byte_fallback":false,"ignore_merges":true,
        "vocab":{"a":2,"b":3,"c":4,"ab":5,"abc":6,"1":7,"\u0120":8,"t":9,"\u0120t":10,"h":11,"e":12,"he":13,"the":14},
        "merges":["a b","ab c","\u0120 t","h e","t he"]}}
        """#
}
