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

@testable import MQT

@Suite struct LLaVAGoldenTests {
    @Test("the whole MQT-LLaVA path equals the published code, from either checkpoint format")
    func wholePath() throws {
        let stage = try GoldenStage("llava")
        let report = GoldenReport(stage)
        for directory in stage.modelDirectories.filter({ stage.holdsDecoder($0) }) {
            let model = try stage.llava(directory)
            for file in stage.files(ofKind: "data") {
                let data = try report.data(file)
                if data["pixel_values"] != nil { try inference(model, stage, data, report, file) }
                if data["image_tokens"] != nil { try endToEnd(model, stage, data, report, file) }
                if data["spliced_labels"] != nil {
                    let trained = try stage.llava(directory, options: .training)
                    let loss = try training(trained, stage, data, report, file)
                    loss.backward()
                    try report.checkGradients(file, "grad.", trained.parameters)
                }
                if let losses = data["losses"] {
                    try optimizer(directory, steps: losses.count, stage, report, file)
                }
            }
        }
        try adapters(stage, report)
        report.finish()
    }

    private func inference(
        _ model: LLaVAModel, _ stage: GoldenStage, _ data: [String: Tensor], _ report: GoldenReport, _ file: String
    ) throws {
        let images = try stage.formulaImages()
        let features = try images.map { try model.encode(ProcessedImage(plain: $0)) }
        try report.check(file, "pixel_values", images[0])
        try report.check(file, "vision_features", features[0].tensor)
        for name in data.keys.sorted() where name.hasSuffix("logits") && !name.hasSuffix("generated_logits") {
            let prefix = String(name.dropLast("logits".count))
            let ids = try #require((data[prefix + "input_ids"] ?? data["input_ids"])?.integers)
            report.input(file, prefix + "input_ids", "input_ids")
            // m is in the case's name (`m8.`), or follows from the length of the spliced sequence.
            let marks = ids.count { $0 == MultimodalPrompt.imageToken }
            let spliced = try #require(data[name]?.shape[1])
            let m = marks == 0 ? 1 : (spliced - ids.count + marks) / marks
            let order = try stage.imageOrder(file, name, marks: marks)
            let budget = try model.budget(m)
            let tokens = try order.map { try model.visualTokens(from: features[$0], budget: budget) }
            let prompt = try model.prompt(ids, images: tokens)
            try report.check(file, prefix + "inputs_embeds", prompt.inputsEmbeds)
            try report.check(file, name, model.decoder.goldenLogits(prompt.inputsEmbeds, skippable: prompt.skippable))
            if let steps = data[prefix + "generated"]?.count {
                try checkGreedy(
                    model.decoder, prompt, steps: steps, report, file, tokens: prefix + "generated",
                    logits: prefix + "generated_logits")
            }
        }
    }

    private func endToEnd(
        _ model: LLaVAModel, _ stage: GoldenStage, _ data: [String: Tensor], _ report: GoldenReport, _ file: String
    ) throws {
        let picture = try #require(stage.files(ofKind: "image").first)
        let image = try RGBImage(contentsOf: stage.path(picture), orientation: .asStored)
        let processed = try model.process(image)
        for name in data.keys where name.hasPrefix("pixel_values_s") {
            let step = try #require(Int(name.dropFirst("pixel_values_s".count)))
            try report.check(file, name, processed.pixelValues.subsampled(by: step))
        }
        let m = try #require(data["image_tokens"]?.shape[1])
        let features = try model.encode(processed)
        let tokens = try model.visualTokens(from: features, budget: model.budget(m))
        try report.check(file, "image_tokens", tokens.embeddings)
        report.input(file, "input_ids")
        let prompt = try model.prompt(try #require(data["input_ids"]).integers, images: [tokens])
        try report.check(file, "logits", model.decoder.goldenLogits(prompt.inputsEmbeds, skippable: prompt.skippable))
        try checkGreedy(
            model.decoder, prompt, steps: try #require(data["generated"]?.count), report, file, tokens: "generated",
            logits: nil)
    }

    /// The steps of an optimiser on the query transformer, by the note on the losses; the note on the file says which
    /// file's batch they are taken on.
    private func optimizer(
        _ directory: String, steps: Int, _ stage: GoldenStage, _ report: GoldenReport, _ file: String
    ) throws {
        let note = try #require(stage.specification(file, "losses")?["meaning"]?.string)
        let numbers = try #require(
            note.firstMatch(
                of: /lr ([0-9.e-]+), betas ([0-9.]+)\/([0-9.]+), eps ([0-9.e-]+), wd ([0-9.]+), no clipping/))
        let batch = try #require(stage.manifest["files"]?[file]?["note"]?.string?.firstMatch(of: /as (\w+)/)?.1)
        let batchFile = "\(batch).safetensors"
        var options = LoadOptions.training
        options.trains = { $0.contains("query_abstractor") }
        let model = try stage.llava(directory, options: options)
        let optimizer = AdamW(
            [AdamW.Group(model.parameters, weightDecay: try #require(Float(numbers.5)))],
            beta1: try #require(Float(numbers.2)), beta2: try #require(Float(numbers.3)),
            epsilon: try #require(Float(numbers.4)))
        let data = try stage.tensors(batchFile)
        let losses = try (0..<steps).map { _ in
            let loss = try training(model, stage, data, nil, batchFile)
            loss.backward()
            optimizer.step(rate: try #require(Float(numbers.1)))
            return loss.floats[0]
        }
        try report.check(file, "losses", Tensor(losses, shape: [steps]))
        for parameter in model.parameters {
            let name = parameter.name.split(separator: ".").drop { $0 != "query_abstractor" }.dropFirst()
            try report.check(file, "after." + name.joined(separator: "."), parameter.tensor)
        }
    }

    /// The loss of a batch.
    private func training(
        _ model: LLaVAModel, _ stage: GoldenStage, _ data: [String: Tensor], _ report: GoldenReport?, _ file: String
    ) throws -> Tensor {
        report?.input(file, "input_ids", "attention_mask", "labels")
        let ids = try #require(data["input_ids"])
        let width = try #require(data["spliced_labels"]?.shape[1])
        let size = model.config.llama.hiddenSize
        let (m, limit) = try stage.trainingCase(file)
        var features = try stage.formulaImages().map { try model.encode(ProcessedImage(plain: $0)) }[...]
        var (labels, mask, embeds): ([Int], [Int], [Float]) = ([], [], [])
        var results: [(hidden: Tensor, labels: [Int])] = []
        for row in 0..<ids.shape[0] {
            let length = try #require(data["attention_mask"])[row].integers.reduce(0, +)
            let real = Array(ids[row].integers.prefix(length))
            // A row without an image consumes one of the batch all the same.
            let marks = real.count { $0 == MultimodalPrompt.imageToken }
            let taken = features.prefix(max(marks, 1))
            features = features.dropFirst(max(marks, 1))
            let tokens = try taken.prefix(marks).map { try model.visualTokens(from: $0, budget: model.budget(m)) }
            let prompt = try MultimodalPrompt(
                ids: real, images: tokens, labels: Array(try #require(data["labels"])[row].integers.prefix(length)),
                embedTokens: model.decoder.embedTokens, target: nil, maximumLength: limit)
            let rowLabels = try #require(prompt.labels)
            let padding = width - prompt.count
            labels += rowLabels + Array(repeating: -100, count: padding)
            mask += Array(repeating: 1, count: prompt.count) + Array(repeating: 0, count: padding)
            embeds += prompt.inputsEmbeds.floats + Array(repeating: 0, count: padding * size)
            results.append((model.decoder.hiddenStates(ofSequence: prompt.inputsEmbeds), rowLabels))
        }
        let rows = ids.shape[0]
        let loss = model.decoder.meanLoss(results)
        try report?.check(file, "spliced_labels", Tensor(integers: labels, shape: [rows, width]))
        try report?.check(file, "spliced_attention_mask", Tensor(integers: mask, shape: [rows, width]))
        try report?.check(file, "spliced_inputs_embeds", Tensor(embeds, shape: [rows, width, size]))
        try report?.check(file, "loss", loss)
        return loss
    }

    /// Adapter files hold the checkpoint's tensors, rounded to the type they are saved in; odd archives hold theirs.
    private func adapters(_ stage: GoldenStage, _ report: GoldenReport) throws {
        let directory = try #require(stage.modelDirectories.first { stage.holdsDecoder($0) })
        let checkpoint = try CheckpointDirectory(path: stage.path(directory)).tensors
        for file in stage.files(ofKind: "weights") where !file.contains("/") {
            let tensors = try TensorFile.load(path: stage.path(file))
            let description = (file as NSString).deletingPathExtension + ".json"
            if FileManager.default.fileExists(atPath: stage.path(description)) {
                for (name, entry) in try stage.json(description).object ?? [:] {
                    report.checkEqual(
                        "\(file) \(name) shape", tensors[name]?.shape, entry["shape"]?.array?.compactMap(\.int))
                    let values = entry["values"]?.array?.compactMap { value in
                        value.double.map(Float.init) ?? value.bool.map { $0 ? 1 : 0 }
                    }
                    report.checkEqual("\(file) \(name)", tensors[name]?.floats, values)
                }
            } else {
                for (name, tensor) in tensors {
                    let full = try #require(checkpoint[name]?.floats)
                    let isRounding = zip(tensor.floats, full).allSatisfy { abs($0 - $1) <= abs($1) * 0x1p-8 }
                    report.checkEqual("\(file) \(name)", isRounding, true)
                }
            }
        }
    }
}

extension GoldenStage {
    /// The model of a directory, with the constants that the set's `params.json` gives and the tower's configuration.
    func llava(
        _ directory: String, overrides: [(key: String, value: String)] = [], options: LoadOptions = LoadOptions()
    ) throws -> LLaVAModel {
        var options = options
        options.configOverrides = overrides
        if let heads = try queryTransformerHeads {
            options.configOverrides.append((key: "query_abstractor_num_heads", value: "\(heads)"))
        }
        options.visionTower = towerDirectory
        return try LLaVAModel.load(from: path(directory), options: options)
    }

    /// m and the limit on the spliced length, from the note on a training file.
    func trainingCase(_ file: String) throws -> (m: Int, limit: Int) {
        let note = manifest["files"]?[file]?["note"]?.string ?? ""
        let m = try #require(note.firstMatch(of: /m=(\d+)/).flatMap { Int($0.1) })
        let limit = try #require(note.firstMatch(of: /tokenizer_model_max_length=(\d+)/).flatMap { Int($0.1) })
        return (m, limit)
    }
}

extension ProcessedImage {
    /// Recorded pixel values of one view.
    init(plain pixelValues: Tensor) {
        let side = ImageSize(width: pixelValues.shape[3], height: pixelValues.shape[2])
        self.init(pixelValues: pixelValues, originalSize: side, mode: .square, grid: ImageSize(width: 1, height: 1))
    }
}

extension Tensor {
    /// Every `step`-th row and column of images `[B, C, H, W]`.
    func subsampled(by step: Int) -> Tensor {
        let (planes, height, width, values) = (shape[0] * shape[1], shape[2], shape[3], floats)
        var result: [Float] = []
        for plane in 0..<planes {
            for y in stride(from: 0, to: height, by: step) {
                for x in stride(from: 0, to: width, by: step) {
                    result.append(values[(plane * height + y) * width + x])
                }
            }
        }
        return Tensor(result, shape: [shape[0], shape[1], (height + step - 1) / step, (width + step - 1) / step])
    }
}
