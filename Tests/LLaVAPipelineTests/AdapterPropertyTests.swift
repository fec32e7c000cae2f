import Foundation
import LLaVAPipeline
import ModelFiles
import MQT
import Tensors
import TestSupport
import Testing
import VisionEncoder

@Suite struct AdapterPropertyTests {
    /// The tiny model taken apart: a decoder that knows nothing of images, an adapter, and a tower.
    private func parts() throws -> (base: String, adapter: String, tower: String) {
        let whole = try CheckpointDirectory(path: Fixtures.directory.appending(path: "tiny-model").path)
        let root = try Fixtures.temporaryDirectory()
        func directory(_ name: String, _ config: [String: Any], _ tensors: [String: Tensor], _ file: String) throws
            -> String
        {
            let url = root.appending(path: name)
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
            try JSONSerialization.data(withJSONObject: config).write(to: url.appending(path: "config.json"))
            try SafetensorsWriter.write(tensors, to: url.appending(path: file).path)
            return url.path
        }
        let config = try #require(try JSONSerialization.jsonObject(with: whole.configData) as? [String: Any])
        let isVisual = { (key: String) in
            key.hasPrefix("mm_") || key.hasPrefix("query_") || key.hasPrefix("image_") || key.hasPrefix("num_visual")
        }
        let towerPrefix = "model.vision_tower.vision_tower."
        let towerConfig = try JSONSerialization.jsonObject(
            with: Data(contentsOf: URL(filePath: whole.path + "/vision_tower/config.json")))
        let tower = try directory(
            "tower", try #require(towerConfig as? [String: Any]),
            Dictionary(
                uniqueKeysWithValues: whole.tensors.filter { $0.key.hasPrefix(towerPrefix) }
                    .map { (String($0.key.dropFirst(towerPrefix.count)), $0.value) }), "model.safetensors")
        try FileManager.default.copyItem(
            atPath: whole.path + "/vision_tower/preprocessor_config.json", toPath: tower + "/preprocessor_config.json")
        return (
            try directory(
                "base", config.filter { !isVisual($0.key) },
                whole.tensors.filter { !$0.key.hasPrefix(towerPrefix) && !$0.key.hasPrefix("model.query_abstractor.") },
                "model.safetensors"),
            try directory(
                "adapter", config.filter { isVisual($0.key) },
                whole.tensors.filter { $0.key.hasPrefix("model.query_abstractor.") }, "query_abstractor.safetensors"),
            tower
        )
    }

    @Test("a decoder, an adapter and a tower make the model they were taken from")
    func assembled() throws {
        let parts = try parts()
        var options = LoadOptions()
        options.adapter = parts.adapter
        options.visionTower = parts.tower
        let model = try LLaVAModel.load(from: parts.base, options: options)
        let whole = try LLaVAModel.load(from: Fixtures.directory.appending(path: "tiny-model").path)
        let pixels = Tensor.random([1, 3, 96, 96], seed: 1)
        func tokens(_ model: LLaVAModel) throws -> [UInt8] {
            let side = ImageSize(width: 96, height: 96)
            let image = ProcessedImage(
                pixelValues: pixels, originalSize: side, mode: .square, grid: ImageSize(width: 1, height: 1))
            return try model.visualTokens(from: model.encode(image), budget: model.budget(7)).embeddings.bytes
        }
        #expect(try tokens(model) == tokens(whole))
        #expect(model.config.isElastic && model.maximumVisualTokens == 64)
    }

    @Test("without the adapter the decoder is text only, and without the tower the adapter says what is missing")
    func missingParts() throws {
        let parts = try parts()
        let plain = try LLaVAModel.load(from: parts.base)
        #expect(plain.vision == nil)
        #expect(throws: VisualTokenBudgetError.notElastic(model: parts.base)) { try plain.budget(4) }
        var options = LoadOptions()
        options.adapter = parts.adapter
        #expect(throws: LLaVAError.missingVisionTower(name: "tiny-clip", checkpoint: parts.base)) {
            try LLaVAModel.load(from: parts.base, options: options)
        }
        options.adapter = parts.tower
        #expect(throws: LLaVAError.self) { try LLaVAModel.load(from: parts.base, options: options) }
    }
}
