import Foundation
import NeuralNetwork
import Tensors
import TestSupport
import Testing

@testable import VisionEncoder

@Suite("Hybrid towers")
struct HybridVisionTests {
    private static func config(_ changes: [String: Any] = [:]) throws -> HybridVisionConfig {
        var keys: [String: Any] = [
            "modelType": "hybrid_vit", "stemChannels": [8, 12], "hiddenSize": 16, "intermediateSize": 24,
            "numHiddenLayers": 2, "numAttentionHeads": 2, "imageSize": 32,
        ]
        for (key, value) in changes { keys[key] = value }
        return try JSONDecoder().decode(HybridVisionConfig.self, from: JSONSerialization.data(withJSONObject: keys))
    }

    /// Weights drawn, with running averages that are not those of a fresh norm.
    private func weights() throws -> [String: Tensor] {
        let reader = WeightReader(drawing: WeightInitializer(seed: 4))
        _ = VisionTransformer(hybrid: try Self.config(), reader)
        var weights = reader.drawn
        for (layer, channels) in [8, 12].enumerated() {
            let norm = "embeddings.stem.\(layer).norm."
            weights[norm + "running_mean"] = .random([channels], seed: 7)
            weights[norm + "running_var"] = Tensor((0..<channels).map { 0.5 + Float($0) / 10 }, shape: [channels])
            weights[norm + "bias"] = .random([channels], seed: 8)
        }
        return weights
    }

    @Test("norms that are folded into the convolutions give what the layers give one after the other")
    func folding() throws {
        let (config, weights) = (try Self.config(), try weights())
        let images = Tensor.random([2, 3, 32, 32], seed: 1)
        let folded = VisionTransformer(hybrid: config, WeightReader(weights))
        let layered = VisionTransformer(hybrid: config, WeightReader(weights) { _ in true })
        let a = folded.lastHiddenState(images)
        let b = withoutGradients { layered.lastHiddenState(images) }
        #expect(a.shape == [2, 16, 16])
        let difference = zip(a.floats, b.floats).map { abs($0 - $1) }.max() ?? 1
        #expect(difference < 1e-5, "\(difference)")
    }

    @Test("weights in float16 give what the same numbers in float32 give")
    func halves() throws {
        let config = try Self.config()
        let halves = try weights().mapValues { try $0.converted(to: .float16) }
        let images = Tensor.random([1, 3, 32, 32], seed: 1)
        let a = VisionTransformer(hybrid: config, WeightReader(halves)).lastHiddenState(images)
        let b = VisionTransformer(hybrid: config, WeightReader(halves.mapValues(\.widened))).lastHiddenState(images)
        let difference = zip(a.floats, b.floats).map { abs($0 - $1) }.max() ?? 1
        #expect(difference < 1e-5, "\(difference)")
    }

    @Test("a picture has the same states alone and in a batch")
    func batches() throws {
        let tower = VisionTransformer(hybrid: try Self.config(), WeightReader(try weights()))
        let images = Tensor.random([3, 3, 32, 32], seed: 2)
        let all = tower.lastHiddenState(images)
        for image in 0..<3 {
            #expect(tower.lastHiddenState(images[image..<image + 1]).bytes == all[image..<image + 1].bytes)
        }
    }

    @Test("gradients of a batch reach every weight, and agree with central differences")
    func gradients() throws {
        let (config, weights) = (try Self.config(["stemChannels": [4], "imageSize": 8]), try smallWeights())
        let images = Tensor.random([2, 3, 8, 8], seed: 3)
        let target = Tensor.random([2 * 4, 16], seed: 5)
        func loss(_ weights: [String: Tensor]) -> (Double, WeightReader) {
            let reader = WeightReader(weights) { _ in true }
            let tower = VisionTransformer(hybrid: config, reader)
            let y = tower.lastHiddenState(images).reshaped(to: [8, 16]) * target
            y.backward(from: Tensor(repeating: 1, shape: y.shape))
            return (y.floats.reduce(0) { $0 + Double($1) }, reader)
        }
        let (_, reader) = loss(weights)
        for parameter in reader.parameters {
            let gradient = try #require(parameter.gradient, "\(parameter.name)").floats
            for index in [0, parameter.count / 2] {
                func moved(by step: Float) -> Double {
                    var values = parameter.tensor.floats
                    values[index] += step
                    var changed = weights
                    changed[parameter.name] = Tensor(values, shape: parameter.tensor.shape)
                    return loss(changed).0
                }
                let step: Float = 1e-3
                let slope = (moved(by: step) - moved(by: -step)) / Double(2 * step)
                let scale = max(1, abs(slope), Double(gradient.map(abs).max() ?? 0))
                #expect(
                    abs(slope - Double(gradient[index])) < 2e-2 * scale,
                    "\(parameter.name)[\(index)]: \(gradient[index]), central difference \(slope)")
            }
        }
    }

    private func smallWeights() throws -> [String: Tensor] {
        let reader = WeightReader(drawing: WeightInitializer(seed: 9))
        _ = VisionTransformer(hybrid: try Self.config(["stemChannels": [4], "imageSize": 8]), reader)
        return reader.drawn
    }

    @Test(
        "a configuration that makes no tower is refused with the key",
        arguments: [
            (#"{"stemChannels": []}"#, "stem_channels"), (#"{"stemChannels": [8, 0]}"#, "stem_channels"),
            (#"{"imageSize": 30}"#, "image_size"), (#"{"numAttentionHeads": 3}"#, "num_attention_heads"),
            (#"{"modelType": "vit"}"#, "model_type"), (#"{"hiddenSize": -16}"#, "hidden_size"),
        ])
    func mistakes(changes: String, key: String) throws {
        let keys = try JSONSerialization.jsonObject(with: Data(changes.utf8)) as? [String: Any]
        let error = try #require(throws: VisionConfigError.self) { try Self.config(keys ?? [:]) }
        #expect("\(error)".contains(key), "\(error)")
    }
}
