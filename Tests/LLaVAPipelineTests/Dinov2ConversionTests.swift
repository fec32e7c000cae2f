import Foundation
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing
import VisionEncoder

/// A DINOv2 of two blocks with random weights.
struct TinyDinov2 {
    static let size = 32, heads = 4, intermediate = 48, patch = 4, grid = 3, layers = 2
    static let config = """
        {"model_type": "dinov2", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "mlp_ratio": 1.5,
         "patch_size": 4, "image_size": 12, "layer_norm_eps": 1e-06, "hidden_act": "gelu", "qkv_bias": true,
         "layerscale_value": 1.0, "drop_path_rate": 0.0}
        """
    let tensors: [String: Tensor]

    init(seed: UInt64 = 41) {
        var weights = RandomWeights(seed: seed)
        let size = Self.size
        for layer in 0..<Self.layers {
            let prefix = "encoder.layer.\(layer)."
            func linear(_ name: String, _ inputs: Int, _ outputs: Int) {
                weights.matrix(prefix + name + ".weight", outputs, inputs)
                weights.vector(prefix + name + ".bias", outputs, around: 0)
            }
            for part in ["query", "key", "value"] { linear("attention.attention.\(part)", size, size) }
            linear("attention.output.dense", size, size)
            linear("mlp.fc1", size, Self.intermediate)
            linear("mlp.fc2", Self.intermediate, size)
            let vectors: [(String, Float)] = [
                ("norm1.weight", 1), ("norm1.bias", 0), ("norm2.weight", 1), ("norm2.bias", 0),
                ("layer_scale1.lambda1", 0.7), ("layer_scale2.lambda1", -0.4),
            ]
            for (name, value) in vectors {
                weights.vector(prefix + name, size, around: value, by: 0.3)
            }
        }
        weights.vector("layernorm.weight", size, around: 1)
        weights.vector("layernorm.bias", size, around: 0)
        weights.vector("embeddings.patch_embeddings.projection.bias", size, around: 0)
        var tensors = weights.tensors
        tensors["embeddings.cls_token"] = .random([1, 1, size], seed: seed + 1)
        tensors["embeddings.position_embeddings"] = .random([1, Self.grid * Self.grid + 1, size], seed: seed + 2)
        tensors["embeddings.patch_embeddings.projection.weight"] = .random(
            [size, 3, Self.patch, Self.patch], seed: seed + 3, amplitude: 0.3)
        self.tensors = tensors
    }

    /// The tower as an exporter writes it: under a prefix, weights of linear layers turned round and anonymous,
    /// positions folded into two constants, and something else beside it.
    var onnx: [UInt8] {
        var nodes: [[UInt8]] = []
        var initializers: [[UInt8]] = []
        for (index, (name, tensor)) in tensors.sorted(by: { $0.key < $1.key }).enumerated() {
            if name.hasSuffix(".weight"), tensor.rank == 2 {
                // Modules in a list share a component with their number: layer.0.
                let path = name.dropLast(".weight".count).replacing(".", with: "/").replacing("layer/", with: "layer.")
                let anonymous = "onnx::MatMul_\(1000 + index)"
                initializers.append(ONNXBytes.tensor(anonymous, tensor.transposed))
                nodes.append(
                    ONNXBytes.node(
                        "MatMul", "/backbone/\(path)/MatMul", inputs: ["x", anonymous]))
            } else if name == "embeddings.position_embeddings" {
                let rows = tensor[0]
                initializers.append(ONNXBytes.tensor("onnx::Concat_1", rows[0..<1].reshaped(to: [1, 1, rows.columns])))
                initializers.append(
                    ONNXBytes.tensor(
                        "onnx::Reshape_2", rows[1..<rows.rows].reshaped(to: [1, rows.rows - 1, rows.columns])))
                let module = "/backbone/embeddings"
                nodes.append(ONNXBytes.node("Reshape", "\(module)/Reshape_1", inputs: ["onnx::Reshape_2", "s"]))
                nodes.append(ONNXBytes.node("Concat", "\(module)/Concat_6", inputs: ["onnx::Concat_1", "r"]))
            } else {
                initializers.append(ONNXBytes.tensor("backbone." + name, tensor))
            }
        }
        initializers.append(ONNXBytes.tensor("decoder.weight", Tensor.random([2, 3], seed: 9)))
        return ONNXBytes.model(nodes: nodes, initializers: initializers)
    }
}

@Suite struct Dinov2ConversionTests {
    private let directory: URL

    init() throws { directory = try Fixtures.temporaryDirectory() }

    private func tower(_ url: URL) throws -> VisionTransformer {
        let checkpoint = try CheckpointDirectory(path: url.path)
        #expect(checkpoint.layout == .dinov2Vision)
        let config = try checkpoint.decodeConfig(Dinov2Config.self)
        let reader = WeightReader(checkpoint.tensors)
        try reader.require(config.anchors, source: url.path)
        let tower = VisionTransformer(dinov2: config, reader)
        try reader.finish(source: url.path)
        #expect(reader.unused.isEmpty)
        return tower
    }

    @Test("a tower gives the same bytes from safetensors and from an ONNX model turned into a directory")
    func roundTrip() throws {
        let tiny = TinyDinov2()
        let (plain, converted) = (directory.appending(path: "plain"), directory.appending(path: "converted"))
        try FileManager.default.createDirectory(at: plain, withIntermediateDirectories: true)
        try SafetensorsWriter.write(tiny.tensors, to: plain.appending(path: "model.safetensors").path)
        try Data(TinyDinov2.config.utf8).write(to: plain.appending(path: "config.json"))

        let path = directory.appending(path: "tiny.onnx").path
        try Data(tiny.onnx).write(to: URL(filePath: path))
        #expect(try CheckpointDirectory(path: path).layout == .dinov2Vision)
        let conversion = try Dinov2Conversion(ONNXFile(path: path), numAttentionHeads: TinyDinov2.heads)
        #expect(conversion.prefix == "backbone." && conversion.leftOut == ["decoder.weight"])
        #expect(conversion.tensors.mapValues(\.bytes) == tiny.tensors.mapValues(\.bytes))
        try conversion.write(to: converted.path)
        let file = converted.appending(path: "preprocessor_config.json")
        #expect(try CLIPImageProcessor(configuration: Array(Data(contentsOf: file))) == .dinov2)

        let (a, b) = (try tower(plain), try tower(converted))
        #expect(a.config == b.config)
        for shape in [[2, 3, 12, 12], [1, 3, 8, 21]] {
            let pixels = Tensor.random(shape, seed: 7, amplitude: 2)
            let states = [a.lastHiddenState(pixels), a.hiddenState(pixels, at: 1)]
            #expect(states[0].shape == [shape[0], shape[2] / 4 * (shape[3] / 4) + 1, 32])
            #expect(states.map(\.bytes) == [b.lastHiddenState(pixels).bytes, b.hiddenState(pixels, at: 1).bytes])
        }
    }

    @Test("a model without a whole tower is refused with what it lacks")
    func refused() throws {
        let path = directory.appending(path: "other.onnx").path
        for (dropped, reason) in [("encoder", "layer_scale1"), ("onnx::Concat", "positions []")] {
            let tensors = TinyDinov2().tensors.filter { !$0.key.hasPrefix(dropped) }
            let kept = tensors.filter { dropped == "encoder" || $0.key != "embeddings.position_embeddings" }
            let model = ONNXBytes.model(initializers: kept.map { ONNXBytes.tensor($0.key, $0.value) })
            try Data(model).write(to: URL(filePath: path))
            let error = try #require(throws: LLaVAError.self) {
                try Dinov2Conversion(ONNXFile(path: path), numAttentionHeads: 4)
            }
            #expect("\(error)".contains(reason), "\(error)")
        }
    }
}
