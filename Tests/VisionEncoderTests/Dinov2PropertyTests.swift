import Foundation
import NeuralNetwork
import Tensors
import TestSupport
import Testing

@testable import VisionEncoder

@Suite struct Dinov2PropertyTests {
    private static let size = 16
    private let config = Dinov2Config(
        transformer: VisionTransformerConfig(
            hiddenSize: size, intermediateSize: 24, numHiddenLayers: 2, numAttentionHeads: 2, numChannels: 3,
            imageSize: 12, patchSize: 4, layerNormEps: 1e-6, hiddenAct: .gelu))

    private static func weights(scale: Float = 0.6) -> [String: Tensor] {
        var weights = RandomWeights(seed: 51)
        weights.matrix("patch", size, 48)
        weights.matrix("positions", 10, size)
        weights.vector("embeddings.patch_embeddings.projection.bias", size, around: 0.2)
        weights.vector("embeddings.cls_token", size, around: 0.1)
        for layer in 0..<2 {
            let prefix = "encoder.layer.\(layer)."
            for (name, inputs, outputs) in [
                ("attention.attention.query", size, size), ("attention.attention.key", size, size),
                ("attention.attention.value", size, size), ("attention.output.dense", size, size),
                ("mlp.fc1", size, 24), ("mlp.fc2", 24, size),
            ] {
                weights.matrix(prefix + name + ".weight", outputs, inputs)
                weights.vector(prefix + name + ".bias", outputs, around: 0)
            }
            for norm in ["norm1", "norm2"] {
                weights.vector(prefix + norm + ".weight", size, around: 1)
                weights.vector(prefix + norm + ".bias", size, around: 0)
            }
            weights.vector(prefix + "layer_scale1.lambda1", size, around: scale, by: scale)
            weights.vector(prefix + "layer_scale2.lambda1", size, around: -scale, by: scale)
        }
        weights.vector("layernorm.weight", size, around: 1)
        weights.vector("layernorm.bias", size, around: 0)
        var tensors = weights.tensors
        tensors["embeddings.patch_embeddings.projection.weight"] = tensors["patch"]?.reshaped(to: [size, 3, 4, 4])
        tensors["embeddings.position_embeddings"] = tensors["positions"]?.reshaped(to: [1, 10, size])
        tensors["embeddings.cls_token"] = tensors["embeddings.cls_token"]?.reshaped(to: [1, 1, size])
        return tensors
    }

    @Test("the tower equals its formulas written out in double precision")
    func formulas() throws {
        let tensors = Self.weights()
        let reader = WeightReader(tensors)
        let tower = VisionTransformer(dinov2: config, reader)
        try reader.finish(source: "test")
        let pixels = Tensor.random([1, 3, 12, 12], seed: 52, amplitude: 2)
        let plain = PlainDinov2(tensors: tensors, heads: 2)
        let states = plain.states(pixels.floats.map(Double.init))
        for (index, expected) in states.enumerated() {
            let got = index <= 2 ? tower.hiddenState(pixels, at: index) : tower.lastHiddenState(pixels)
            let difference = zip(got.floats, expected.joined()).map { abs(Double($0) - $1) }.max()
            #expect(try #require(difference) < 1e-5, "state \(index)")
        }
    }

    @Test("positions on the grid they were learned on are the very same; the class token's are so on every grid")
    func positions() {
        let tower = VisionTransformer(dinov2: config, WeightReader(Self.weights()))
        let learned = tower.embeddings.positionEmbedding
        #expect(tower.embeddings.positions(on: PatchGrid(height: 3, width: 3)).bytes == learned.bytes)
        for (height, width) in [(1, 1), (2, 5), (6, 6), (9, 3)] {
            let positions = tower.embeddings.positions(on: PatchGrid(height: height, width: width))
            #expect(positions.shape == [height * width + 1, Self.size])
            #expect(positions[0].bytes == learned[0].bytes)
        }
        // Weights sum to 1, so a constant stays what it is.
        let constant = bicubicallyResampled(
            Tensor(repeating: 3, shape: [9, 2]), from: PatchGrid(squareOf: 9), to: PatchGrid(height: 7, width: 4))
        #expect(constant.floats.allSatisfy { abs($0 - 3) < 1e-5 })
    }

    @Test("with layer scale 0 the blocks change nothing")
    func zeroScale() {
        let tower = VisionTransformer(dinov2: config, WeightReader(Self.weights(scale: 0)))
        let pixels = Tensor.random([2, 3, 12, 12], seed: 53)
        #expect(tower.hiddenState(pixels, at: 2).floats == tower.hiddenState(pixels, at: 0).floats)
    }

    @Test("an image in a batch gives the same bytes as alone")
    func batch() {
        let tower = VisionTransformer(dinov2: config, WeightReader(Self.weights()))
        let pixels = Tensor.random([2, 3, 8, 20], seed: 54)
        let both = tower.lastHiddenState(pixels)
        for image in 0..<2 {
            let alone = tower.lastHiddenState(pixels[image..<image + 1])
            #expect(alone[0].bytes == both[image].bytes)
        }
    }

    @Test("the shape is told by the weights")
    func inferred() {
        #expect(Dinov2Config(weights: Self.weights(), numAttentionHeads: 2) == config)
        #expect(Dinov2Config(weights: Self.weights()) == nil)
        var tensors = Self.weights()
        tensors["embeddings.position_embeddings"] = .random([1, 9, 16], seed: 1)
        #expect(Dinov2Config(weights: tensors, numAttentionHeads: 2) == nil)
    }

    @Test("config.json: defaults are Hugging Face's, and what is not computed is refused")
    func configuration() throws {
        func decode(_ json: String) throws -> Dinov2Config {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            return try decoder.decode(Dinov2Config.self, from: Data(json.utf8))
        }
        let base = try decode("{}").transformer
        #expect((base.hiddenSize, base.intermediateSize, base.imageSize, base.patchSize) == (768, 3072, 224, 16))
        #expect(base.layerNormEps == 1e-6 && base.hiddenAct == .gelu)
        let small = try decode(
            """
            {"model_type": "dinov2", "hidden_size": 384, "num_attention_heads": 6, "num_hidden_layers": 12, "mlp_ratio": 4,
             "patch_size": 14, "image_size": 518, "layer_norm_eps": 1e-06, "qkv_bias": true, "use_swiglu_ffn": false}
            """)
        #expect(small.transformer.patchCount == 1369 && small.transformer.intermediateSize == 1536 && small.qkvBias)
        for json in [
            "{\"use_swiglu_ffn\": true}", "{\"hidden_act\": \"quick_gelu\"}", "{\"hidden_size\": 100}",
            "{\"model_type\": \"dinov2_with_registers\"}", "{\"num_channels\": 1}", "{\"mlp_ratio\": 0}",
            "{\"patch_size\": 300}", "{\"num_hidden_layers\": -1}", "{\"image_size\": 20000}",
        ] {
            #expect(throws: VisionConfigError.self, "\(json)") { try decode(json) }
        }
    }

    @Test("the processor of facebook/dinov2-small is read from its file")
    func processor() throws {
        let json = """
            {"crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "do_convert_rgb": true,
             "do_normalize": true, "do_rescale": true, "do_resize": true, "image_mean": [0.485, 0.456, 0.406],
             "image_processor_type": "BitImageProcessor", "image_std": [0.229, 0.224, 0.225], "resample": 3,
             "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 256}}
            """
        #expect(try CLIPImageProcessor(configuration: Array(json.utf8)) == .dinov2)
    }
}

/// A DINOv2 forward as its formulas say, on one image of the tower's own size.
private struct PlainDinov2 {
    let tensors: [String: Tensor]
    let heads: Int

    private func values(_ name: String) -> [Double] { tensors[name]?.floats.map(Double.init) ?? [] }

    private func linear(_ x: [[Double]], _ name: String) -> [[Double]] {
        let (weight, bias) = (values(name + ".weight"), values(name + ".bias"))
        return x.map { row in
            bias.indices.map { out in
                row.indices.reduce(bias[out]) { $0 + row[$1] * weight[out * row.count + $1] }
            }
        }
    }

    private func norm(_ x: [[Double]], _ name: String) -> [[Double]] {
        let (weight, bias) = (values(name + ".weight"), values(name + ".bias"))
        return x.map { row in
            let mean = row.reduce(0, +) / Double(row.count)
            let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(row.count)
            return row.indices.map { (row[$0] - mean) / (variance + 1e-6).squareRoot() * weight[$0] + bias[$0] }
        }
    }

    private func attention(_ x: [[Double]], _ prefix: String) -> [[Double]] {
        let (q, k, v) = (linear(x, prefix + "query"), linear(x, prefix + "key"), linear(x, prefix + "value"))
        let width = x[0].count / heads
        return q.map { query in
            (0..<heads).flatMap { head -> [Double] in
                let part = head * width..<(head + 1) * width
                let scores = k.map { key in
                    exp(part.reduce(0) { $0 + query[$1] * key[$1] } / Double(width).squareRoot())
                }
                let sum = scores.reduce(0, +)
                return part.map { c in v.indices.reduce(0) { $0 + scores[$1] / sum * v[$1][c] } }
            }
        }
    }

    private func adding(_ x: [[Double]], _ branch: [[Double]], _ scale: [Double]) -> [[Double]] {
        zip(x, branch).map { x, y in x.indices.map { x[$0] + scale[$0] * y[$0] } }
    }

    /// The input of the first block, the output of each, and the last after the final norm.
    func states(_ pixels: [Double]) -> [[[Double]]] {
        let projection = "embeddings.patch_embeddings.projection"
        let (filters, bias) = (values(projection + ".weight"), values(projection + ".bias"))
        var tokens = [values("embeddings.cls_token")]
        for row in 0..<3 {
            for column in 0..<3 {
                tokens.append(
                    bias.indices.map { out in
                        (0..<48).reduce(bias[out]) { sum, k in
                            let (c, y, x) = (k / 16, k / 4 % 4, k % 4)
                            return sum + filters[out * 48 + k] * pixels[c * 144 + (row * 4 + y) * 12 + column * 4 + x]
                        }
                    })
            }
        }
        let positions = values("embeddings.position_embeddings")
        var x = tokens.enumerated().map { index, token in token.indices.map { token[$0] + positions[index * 16 + $0] } }
        var states = [x]
        for layer in 0..<2 {
            let prefix = "encoder.layer.\(layer)."
            let mixed = attention(norm(x, prefix + "norm1"), prefix + "attention.attention.")
            x = adding(x, linear(mixed, prefix + "attention.output.dense"), values(prefix + "layer_scale1.lambda1"))
            let inner = linear(norm(x, prefix + "norm2"), prefix + "mlp.fc1")
                .map { $0.map { $0 / 2 * (1 + erf($0 / 2.0.squareRoot())) } }
            x = adding(x, linear(inner, prefix + "mlp.fc2"), values(prefix + "layer_scale2.lambda1"))
            states.append(x)
        }
        return states + [norm(x, "layernorm")]
    }
}
