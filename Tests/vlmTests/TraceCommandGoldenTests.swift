import Bytes
import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

/// The recorded tensors of the published code, reached through the command line alone.
@Suite struct TraceCommandGoldenTests {
    @Test("vlm trace on the MQT-LLaVA checkpoints writes the published code's tensors")
    func mqt() throws {
        let stage = try GoldenStage("llava")
        let report = GoldenReport(stage)
        for directory in stage.modelDirectories.filter({ stage.holdsDecoder($0) }) {
            for file in stage.files(ofKind: "data") {
                let names = Set(try stage.tensors(file).keys)
                if names.contains("pixel_values") { try pixelCases(stage, directory, file, report) }
                if names.contains("image_tokens") { try imageCase(stage, directory, file, report) }
            }
        }
        report.finish()
    }

    /// Every prompt of a file, its images given as pixel values.
    private func pixelCases(_ stage: GoldenStage, _ directory: String, _ file: String, _ report: GoldenReport) throws {
        let data = try report.data(file)
        let images = try stage.formulaImages().map { try pixelFile(["pixel_values": $0]) }
        for name in data.keys.sorted() where name.hasSuffix("logits") && !name.hasSuffix("generated_logits") {
            let prefix = String(name.dropLast("logits".count))
            let ids = try #require((data[prefix + "input_ids"] ?? data["input_ids"])?.integers)
            report.input(file, prefix + "input_ids", "input_ids")
            let marks = ids.count { $0 == -200 }
            let order = try stage.imageOrder(file, name, marks: marks)
            var arguments = order.flatMap { ["--pixel-values", images[$0]] }
            if marks > 0 {
                let spliced = try #require(data[name]?.shape[1])
                arguments += ["--visual-tokens", "\((spliced - ids.count + marks) / marks)"]
            }
            let steps = data[prefix + "generated"]?.count ?? 0
            let traced = try traced(stage, directory, ids, arguments, steps: steps)
            if order.first == 0 { try report.check(file, "vision_features", traced["vision.features"]) }
            if data["pixel_values"] != nil, order.first == 0 {
                try report.check(file, "pixel_values", traced["pixel_values"])
            }
            try checkDecoder(traced, file, prefix, data, report)
        }
    }

    /// The case that begins with an image file.
    private func imageCase(_ stage: GoldenStage, _ directory: String, _ file: String, _ report: GoldenReport) throws {
        let data = try report.data(file)
        let picture = try #require(stage.files(ofKind: "image").first)
        let m = try #require(data["image_tokens"]?.shape[1])
        report.input(file, "input_ids")
        // The recorded pixel values are every other one.
        report.setAside(file) { $0.hasPrefix("pixel_values_s") }
        let traced = try traced(
            stage, directory, try #require(data["input_ids"]).integers,
            ["--image", stage.path(picture), "--no-exif", "--visual-tokens", "\(m)"],
            steps: try #require(data["generated"]?.count))
        try report.check(file, "image_tokens", traced["visual_tokens"])
        try checkDecoder(traced, file, "", data, report)
    }

    @Test("vlm trace on the p-MoD-LLaVA checkpoint writes the published code's tensors, kept tokens included")
    func pmod() throws {
        let stage = try GoldenStage("pmod_llava")
        let report = GoldenReport(stage)
        let cases = try stage.json("cases.json")
        let directory = try #require(stage.modelDirectories.first { stage.holdsDecoder($0) })
        for file in stage.files(ofKind: "data") where try stage.tensors(file)["labels"] == nil {
            let data = try report.data(file)
            report.input(file, "input_ids")
            for name in data.keys.sorted() where name.hasSuffix(".pixel_values") {
                let key = String(name.dropLast("pixel_values".count))
                let info = try #require(cases["info"]?[String(key.dropLast())])
                let pixels = try #require(data[name])
                var tensors = ["pixel_values": pixels]
                var arguments: [String] = []
                if pixels.shape[0] == 1 {
                    for (key, value) in try #require(cases["pad_mode_config_overrides"]?.object) {
                        arguments += ["--set", "\(key)=\(value.string ?? "")"]
                    }
                } else {
                    for (tensor, key) in [("image_size", "image_size_w_h"), ("grid", "grid_w_h")] {
                        let pair = try #require(info[key]?.array).compactMap(\.int)
                        tensors[tensor] = Tensor(integers: pair, shape: [pair.count])
                    }
                }
                let traced = try traced(
                    stage, directory, try #require(data[key + "input_ids"] ?? data["input_ids"]).integers,
                    arguments + ["--pixel-values", pixelFile(tensors)], steps: data[key + "generated"]?.count ?? 0)
                try checkDecoder(traced, file, key, data, report)
                try report.check(
                    file, key + "kept_mask", try keptMask(traced, like: try #require(data[key + "kept_mask"])))
                report.checkEqual(
                    "\(key) image tokens", traced["visual_tokens"]?.shape[1], info["num_image_tokens"]?.int)
                // Which tokens may be skipped is not traced.
                report.setAside(file) { $0.hasPrefix(key) && ($0.contains("mod_target_mask") || $0.contains("mask_")) }
            }
        }
        report.finish()
    }

    private func checkDecoder(
        _ traced: [String: Tensor], _ file: String, _ prefix: String, _ data: [String: Tensor], _ report: GoldenReport
    ) throws {
        let names = [
            "inputs_embeds": "inputs_embeds", "logits": "logits", "generated": "generated_ids",
            "generated_logits": "decode.logits",
        ]
        for (golden, ours) in names where data[prefix + golden] != nil {
            try report.check(file, prefix + golden, traced[ours])
        }
    }

    private func keptMask(_ traced: [String: Tensor], like golden: Tensor) throws -> Tensor {
        let (layers, tokens) = (golden.shape[golden.rank - 2], golden.shape[golden.rank - 1])
        let rows = (0..<layers).flatMap { layer -> [Int] in
            let kept = traced["pmod.kept.\(layer)"].map { Set($0.integers) }
            return (0..<tokens).map { kept?.contains($0) ?? true ? 1 : 0 }
        }
        return Tensor(integers: rows, shape: [layers, tokens])
    }

    private func pixelFile(_ tensors: [String: Tensor]) throws -> String {
        let file = try Fixtures.temporaryDirectory().appending(path: "pixels.safetensors").path
        try SafetensorsWriter.write(tensors, to: file)
        return file
    }

    private func traced(
        _ stage: GoldenStage, _ directory: String, _ ids: [Int], _ arguments: [String], steps: Int
    ) throws -> [String: Tensor] {
        var all = arguments + ["--ids", ids.map(String.init).joined(separator: ",")]
        if let tower = stage.towerDirectory { all += ["--vision-tower", tower] }
        if let heads = try stage.queryTransformerHeads { all += ["--set", "query_abstractor_num_heads=\(heads)"] }
        if steps > 0 { all += ["--max-tokens", "\(steps)"] }
        return try trace(all, model: stage.path(directory))
    }
}
