import Bytes
import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing

@testable import PMoD

@Suite struct PMoDGoldenTests {
    @Test("mixture-of-depths decoding equals the published implementation, layer by layer")
    func decoder() throws {
        let stage = try GoldenStage("pmod")
        let report = GoldenReport(stage)
        for file in stage.files(ofKind: "data") {
            let trained = try LLaVAModel.load(
                from: stage.path(try #require(stage.modelDirectory(for: file))), options: .training)
            let model = trained.decoder
            let data = try report.data(file)
            if data["labels"] == nil {
                try sequences(model, data, report, file)
            } else {
                try batch(model, trained.parameters, data, report, file)
            }
        }
        for file in stage.files(ofKind: "json") { try schedule(stage.json(file), report) }
        report.finish()
    }

    /// Single sequences: each prefix of tensor names is a case; a case without embeddings of its own shares the file's.
    private func sequences(
        _ model: LlamaModel, _ data: [String: Tensor], _ report: GoldenReport, _ file: String
    ) throws {
        let embedsName = try #require(data.keys.filter { $0.hasSuffix("inputs_embeds") }.min())
        let shared = try #require(data[embedsName])
        let prefixes = Set(
            data.keys.filter { $0.hasSuffix("logits") && !$0.hasPrefix("greedy") && !$0.hasPrefix("prefill") }
                .map { String($0.dropLast("logits".count)) }
        ).union(data["prefill.logits"] == nil ? [] : [""])
        for prefix in prefixes.sorted() {
            let embeds = (data[prefix + "inputs_embeds"] ?? shared).matrix
            var skippable = data[prefix + "mod_target_mask"]?.integers.map { $0 != 0 }
            if data[prefix + "mod_target_mask"] == nil, prefix.hasPrefix("all") {
                skippable = Array(repeating: true, count: embeds.rows)
            }
            report.input(file, prefix + "mod_target_mask")
            try sequence(model, embeds, skippable, prefix, report, file)
            if let steps = data[prefix + "greedy.tokens"]?.count {
                let prompt = MultimodalPrompt(inputsEmbeds: embeds, skippable: skippable)
                try checkGreedy(
                    model, prompt, steps: steps, report, file, tokens: prefix + "greedy.tokens",
                    logits: prefix + "greedy.logits")
            }
        }
    }

    private func sequence(
        _ model: LlamaModel, _ embeds: Tensor, _ skippable: [Bool]?, _ prefix: String, _ report: GoldenReport,
        _ file: String
    ) throws {
        let trace = Trace()
        var cache = KVCache(model.config)
        let h = model.hiddenStates(embeds, skippable: skippable, cache: &cache, trace: trace)
        let layers = model.config.numHiddenLayers
        try report.check(file, prefix + "logits", model.logits(h))
        try report.check(file, prefix + "prefill.logits", model.logits(h))
        try report.check(file, prefix + "final_hidden", h)
        for layer in 0..<layers {
            let output = trace.tensors[
                layer + 1 < layers ? "decoder.hidden.\(layer + 1)" : "decoder.layer_output.\(layer)"]
            try report.check(file, prefix + "layer_out.\(layer)", output)
            try report.check(file, prefix + "router_logits.\(layer)", trace.tensors["pmod.router_logits.\(layer)"])
            let entry = cache.layers[layer]
            try report.check(
                file, prefix + "prefill.key_cache.\(layer)", entry.keyTensor.headsFirst(model.config.numKeyValueHeads))
            try report.check(
                file, prefix + "prefill.value_cache.\(layer)",
                entry.valueTensor.headsFirst(model.config.numKeyValueHeads))
        }
        try report.check(file, prefix + "kept_mask", keptMask(trace, layers: layers, tokens: embeds.rows))
        try report.check(file, prefix + "kv_len", Tensor(integers: cache.layers.map(\.count), shape: [layers]))
    }

    /// A right-padded batch: every row on its own, without its padding.
    private func batch(
        _ model: LlamaModel, _ parameters: [Parameter], _ data: [String: Tensor], _ report: GoldenReport, _ file: String
    ) throws {
        report.input(file, "attention_mask", "mod_target_mask", "labels")
        let embeds = try #require(data["inputs_embeds"])
        let (rows, width, layers) = (embeds.shape[0], embeds.shape[1], model.config.numHiddenLayers)
        var kept = [Float](repeating: 0, count: layers * rows * width)
        let inputs = Parameter("inputs_embeds", embeds)
        var results: [(hidden: Tensor, labels: [Int])] = []
        for row in 0..<rows {
            let length = try #require(data["attention_mask"])[row].integers.reduce(0, +)
            let skippable = try #require(data["mod_target_mask"])[row].integers.prefix(length).map { $0 != 0 }
            let trace = Trace()
            let h = model.hiddenStates(
                ofSequence: inputs.tensor[row][0..<length], skippable: skippable, trace: trace)
            let labels = try #require(data["labels"])[row].integers.prefix(length)
            results.append((h, Array(labels)))
            let mask = keptMask(trace, layers: layers, tokens: length).integers
            for layer in 0..<layers {
                for token in 0..<length {
                    kept[(layer * rows + row) * width + token] = Float(mask[layer * length + token])
                }
            }
        }
        try report.check(file, "logits_real", Tensor.concatenatingRows(results.map { model.logits($0.hidden) }))
        let loss = model.meanLoss(results)
        try report.check(file, "loss", loss)
        loss.backward()
        try report.checkGradients(file, "grad.", parameters + [inputs])
        try report.check(file, "kept_mask", Tensor(kept, shape: [layers, rows, width]))
    }

    private func schedule(_ json: JSONValue, _ report: GoldenReport) throws {
        for (name, table) in json["tables"]?.object ?? [:] {
            let parts = name.split(separator: "@")
            let decay = try #require(ProgressiveRatioDecay(parsing: String(parts[0])))
            let factor = try #require(Double(parts[1]))
            for entry in table.array ?? [] {
                let layer = try #require(entry["layer"]?.int)
                let raw = try #require(entry["decay"]?.double)
                report.checkEqual(
                    "\(name) decay \(layer)", abs(decay.decay(layer: layer, factor: factor) - raw) < 1e-12, true)
                let ratio = decay.ratio(layer: layer, factor: factor)
                report.checkEqual("\(name) is_mod \(layer)", ratio != nil, entry["is_mod"]?.bool)
                report.checkEqual(
                    "\(name) ratio \(layer)", abs((ratio ?? 1) - (entry["ratio"]?.double ?? -1)) < 1e-12, true)
            }
        }
        for (key, counts) in json.object ?? [:] where key.hasPrefix("k_for_n_image_tokens") {
            // The key ends in the schedule's name and its two ratios in hundredths, as in shiftedcos_085_015.
            let parts = key.dropFirst("k_for_n_image_tokens_".count).split(separator: "_")
            let curve = try #require(ProgressiveRatioDecay.Curve(rawValue: String(parts[0])))
            let decay = ProgressiveRatioDecay(
                curve: curve, maximum: try #require(Double(parts[1])) / 100,
                minimum: try #require(Double(parts[2])) / 100)
            for (tokens, expected) in counts.object ?? [:] {
                let n = try #require(Int(tokens))
                let got = (0..<(expected.array?.count ?? 0)).map { layer in
                    decay.ratio(layer: layer, factor: 0.5).map { TokenRouter.keptCount(of: n, ratio: $0) } ?? n
                }
                report.checkEqual("k of \(n) tokens", got, expected.array?.compactMap(\.int) ?? [])
            }
        }
    }
}

/// Which tokens each layer processed, `[layers, T]`; a plain layer processes all.
func keptMask(_ trace: Trace, layers: Int, tokens: Int) -> Tensor {
    var mask: [Int] = []
    for layer in 0..<layers {
        let kept = trace.tensors["pmod.kept.\(layer)"].map { Set($0.integers) }
        mask += (0..<tokens).map { kept?.contains($0) ?? true ? 1 : 0 }
    }
    return Tensor(integers: mask, shape: [layers, tokens])
}
