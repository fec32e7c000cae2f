import Foundation
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import PMoD
import Tensors
import TestSupport
import Testing
import VisionEncoder

@Suite("Models with random weights")
struct RandomModelTests {
    private let directory: URL

    init() throws { directory = try Fixtures.temporaryDirectory() }

    private func path(_ name: String) -> String { directory.appending(path: name).path }

    /// A configuration of a hybrid tower, a query transformer and a decoder of four layers.
    private func configuration(_ changes: [String: Any?] = [:]) throws -> String {
        let url = try HybridModel.configuration(in: directory)
        try TinyModel.change(changes, in: url.appending(path: "config.json"))
        return url.path
    }

    @Test("the same seed gives the same bytes, another seed others, and the model sees pictures")
    func writing() throws {
        let configuration = try configuration()
        let summary = try RandomModel.write(configuration: configuration, to: path("a"), seed: 5)
        try RandomModel.write(configuration: configuration, to: path("b"), seed: 5)
        try RandomModel.write(configuration: configuration, to: path("c"), seed: 6)
        for (file, count) in summary.weights {
            let a = try Data(contentsOf: directory.appending(path: "a/\(file)"))
            #expect(try a == Data(contentsOf: directory.appending(path: "b/\(file)")))
            #expect(try a != Data(contentsOf: directory.appending(path: "c/\(file)")))
            #expect(count > 0 && a.count > 4 * count)
        }
        #expect(summary.weights.count == 2)

        let model = try LLaVAModel.load(from: path("a"))
        #expect(model.maximumVisualTokens == 16 && model.vision?.grid.count == 16)
        let features = try model.encode(model.process(RGBImage.decode(contentsOf: Pictures.png).image))
        #expect(features.tensor.shape == [1, 16, 16])
        #expect(try model.visualTokens(from: features, budget: model.budget(3)).embeddings.shape == [3, 32])
    }

    @Test("matrices may be written in float16: those of float32, rounded")
    func halves() throws {
        let configuration = try configuration()
        try RandomModel.write(configuration: configuration, to: path("whole"), seed: 5)
        try RandomModel.write(configuration: configuration, to: path("half"), seed: 5, as: .float16)
        let file = "model.safetensors"
        let whole = try SafetensorsFile(path: directory.appending(path: "whole/\(file)").path).tensors
        let half = try SafetensorsFile(path: directory.appending(path: "half/\(file)").path).tensors
        #expect(whole.keys.sorted() == half.keys.sorted())
        for (name, tensor) in half where name.hasPrefix("model.layers.") {
            #expect(tensor.elementType == (tensor.rank == 2 ? .float16 : .float32), "\(name)")
            #expect(try tensor.bytes == whole[name]?.converted(to: tensor.elementType).bytes, "\(name)")
        }
        _ = try LLaVAModel.load(from: path("half"))
    }

    @Test("pictures that are encoded together have the features they have alone")
    func together() throws {
        try RandomModel.write(configuration: try configuration(), to: path("model"), seed: 5)
        let model = try LLaVAModel.load(from: path("model"))
        let pictures = [Pictures.png, Pictures.otherPNG].map { try? RGBImage(contentsOf: $0) }.compactMap(\.self)
        let processed = try pictures.map(model.process)
        let together = try model.encode(processed)
        #expect(together.count == 2)
        for (image, features) in zip(processed, together) {
            #expect(try features.tensor.bytes == model.encode(image).tensor.bytes)
        }
    }

    @Test("a directory that exists, and a number of queries that is no square, are refused")
    func mistakes() throws {
        let good = try configuration()
        #expect(throws: CheckpointError.self) { try RandomModel.write(configuration: good, to: good, seed: 1) }
        let bad = try configuration(["num_visual_tokens": 15])
        let error = try #require(throws: LLaVAError.self) {
            try RandomModel.write(configuration: bad, to: path("bad"), seed: 1)
        }
        #expect("\(error)".contains("num_visual_tokens"), "\(error)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).allSatisfy { !$0.contains("bad") })
    }

    @Test("a dense decoder becomes a mixture of depths with routers at zero, which other layers do not replace")
    func mixture() throws {
        try RandomModel.write(configuration: try configuration(), to: path("dense"), seed: 5)
        let mixture = [
            ("mod_target_layers", "shiftedcos_decay_0.85_0.15"), ("mod_target_token_type", "vision_all"),
            ("mod_router_factor", "0.5"), ("mod_weight_norm", "tanh_0.2_1"), ("mod_bias_enabled", "true"),
            ("mod_decay_over_depth", "true"),
        ]
        _ = try CheckpointConversion(path("dense"), to: path("routed"), as: nil, overrides: mixture)
        let dense = try SafetensorsFile(path: path("dense/model.safetensors")).tensors
        let routed = try SafetensorsFile(path: path("routed/model.safetensors")).tensors
        let layers = [1, 2, 3]
        #expect(routed.count == dense.count + 2 * layers.count)
        for (name, tensor) in dense {
            let parts = name.split(separator: ".")
            let isRouted = name.hasPrefix("model.layers.") && layers.contains(Int(parts[2]) ?? 0)
            let other =
                isRouted ? "model.layers.\(parts[2]).decoder_layer." + parts.dropFirst(3).joined(separator: ".") : name
            let isSame = routed[other]?.bytes == tensor.bytes
            #expect(isSame, "\(name)")
        }
        #expect(routed["model.layers.3.router.router.weight"]?.floats == Array(repeating: 0, count: 32))
        let model = try LLaVAModel.load(from: path("routed"))
        #expect(model.config.pmod?.retentionRatios(layerCount: 4)[2] != nil)

        let error = try #require(throws: LLaVAError.self) {
            _ = try CheckpointConversion(
                path("routed"), to: path("other"), as: nil, overrides: [("mod_target_layers", "interleave")])
        }
        #expect("\(error)".contains("[1, 2, 3]") && "\(error)".contains("[1, 3]"), "\(error)")
    }
}
