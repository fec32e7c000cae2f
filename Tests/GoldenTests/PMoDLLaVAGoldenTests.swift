import Bytes
import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing
import VisionEncoder

@testable import PMoD

@Suite struct PMoDLLaVAGoldenTests {
    @Test("the whole p-MoD-LLaVA path equals the published code, padded and in tiles")
    func wholePath() throws {
        let stage = try GoldenStage("pmod_llava")
        let report = GoldenReport(stage)
        let cases = try stage.json("cases.json")
        let directory = try #require(stage.modelDirectories.first { stage.holdsDecoder($0) })
        for file in stage.files(ofKind: "data") {
            let data = try report.data(file)
            if data["labels"] != nil {
                try training(stage, directory, cases, data, report, file)
                continue
            }
            for name in data.keys.sorted() where name.hasSuffix(".pixel_values") {
                let key = String(name.dropLast(".pixel_values".count))
                try inference(stage, directory, cases, key, data, report, file)
            }
            report.input(file, "input_ids")
        }
        report.finish()
    }

    private func inference(
        _ stage: GoldenStage, _ directory: String, _ cases: JSONValue, _ key: String, _ data: [String: Tensor],
        _ report: GoldenReport, _ file: String
    ) throws {
        let info = try #require(cases["info"]?[key])
        let isPadded = try #require(data["\(key).pixel_values"]).shape[0] == 1
        let overrides = isPadded ? cases["pad_mode_config_overrides"]?.object ?? [:] : [:]
        let model = try stage.llava(directory, overrides: overrides.map { ($0.key, $0.value.string ?? "") })
        let ids = try #require(data["\(key).input_ids"] ?? data["input_ids"]).integers
        let image = try ProcessedImage(golden: try #require(data["\(key).pixel_values"]), info, isPadded: isPadded)
        let tokens = try model.visualTokens(from: try model.encode(image))
        report.checkEqual("\(key) image tokens", tokens.count, info["num_image_tokens"]?.int)

        let prompt = try model.prompt(ids, images: [tokens])
        try report.check(file, "\(key).inputs_embeds", prompt.inputsEmbeds)
        try report.check(file, "\(key).mod_target_mask", mask(prompt))
        let trace = Trace()
        var cache = KVCache(model.config.llama)
        let h = model.decoder.hiddenStates(
            prompt.inputsEmbeds, skippable: prompt.skippable, cache: &cache, trace: trace)
        try report.check(file, "\(key).logits", model.decoder.logits(h))
        try report.check(
            file, "\(key).kept_mask", keptMask(trace, layers: model.config.llama.numHiddenLayers, tokens: prompt.count))
        report.checkEqual(
            "\(key) kv lengths", cache.layers.map(\.count), info["kv_len_per_layer"]?.array?.compactMap(\.int))
        if let steps = data["\(key).generated"]?.count {
            try checkGreedy(
                model.decoder, prompt, steps: steps, report, file, tokens: "\(key).generated",
                logits: "\(key).generated_logits")
        }
        for type in ["vision_all", "vision_hr", "all"] where data["\(key).mask_\(type)"] != nil {
            let other = try MultimodalPrompt(
                ids: ids, images: [tokens], embedTokens: model.decoder.embedTokens,
                target: PMoDConfig.TargetTokenType(rawValue: type))
            try report.check(file, "\(key).mask_\(type)", mask(other))
        }
    }

    /// A batch of rows, the images in order; a row without a mark consumes one all the same.
    private func training(
        _ stage: GoldenStage, _ directory: String, _ cases: JSONValue, _ data: [String: Tensor],
        _ report: GoldenReport, _ file: String
    ) throws {
        report.input(file, "input_ids", "attention_mask", "labels")
        let model = try stage.llava(directory, options: .training)
        let note = stage.specification(file, "loss")?["meaning"]?.string ?? ""
        let key = try #require(note.firstMatch(of: /(\w+)\.pixel_values/).map { String($0.1) })
        let pixelValues = try stage.files(ofKind: "data").compactMap { try stage.tensors($0)["\(key).pixel_values"] }
            .first
        let image = try ProcessedImage(
            golden: try #require(pixelValues), try #require(cases["info"]?[key]), isPadded: false)
        let tokens = try model.visualTokens(from: try model.encode(image))
        let ids = try #require(data["input_ids"])
        let rows = try (0..<ids.shape[0]).map { row -> (hidden: Tensor, labels: [Int]) in
            let length = try #require(data["attention_mask"])[row].integers.reduce(0, +)
            let real = Array(ids[row].integers.prefix(length))
            let prompt = try MultimodalPrompt(
                ids: real, images: real.contains(MultimodalPrompt.imageToken) ? [tokens] : [],
                labels: Array(try #require(data["labels"])[row].integers.prefix(length)),
                embedTokens: model.decoder.embedTokens, target: model.config.pmod?.modTargetTokenType)
            return (
                model.decoder.hiddenStates(ofSequence: prompt.inputsEmbeds, skippable: prompt.skippable),
                try #require(prompt.labels)
            )
        }
        let loss = model.decoder.meanLoss(rows)
        try report.check(file, "loss", loss)
        loss.backward()
        try report.checkGradients(file, "grad.", model.parameters)
    }

    private func mask(_ prompt: MultimodalPrompt) -> Tensor {
        Tensor(
            integers: (prompt.skippable ?? Array(repeating: false, count: prompt.count)).map { $0 ? 1 : 0 },
            shape: [1, prompt.count])
    }
}

extension ProcessedImage {
    /// Recorded pixel values of an image whose size and tiles `cases.json` gives.
    init(golden pixelValues: Tensor, _ info: JSONValue, isPadded: Bool) throws {
        let size = try #require(info["image_size_w_h"]?.array).compactMap(\.int)
        let grid = try #require(info["grid_w_h"]?.array).compactMap(\.int)
        let original = ImageSize(width: size[0], height: size[1])
        let tiles = isPadded ? ImageSize(width: 1, height: 1) : ImageSize(width: grid[0], height: grid[1])
        self.init(pixelValues: pixelValues, originalSize: original, mode: isPadded ? .pad : .square, grid: tiles)
    }
}
