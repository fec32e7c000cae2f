import Foundation
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing

@testable import VisionEncoder

@Suite struct CLIPGoldenTests {
    @Test("the vision tower equals Hugging Face's CLIPVisionModel, hidden state by hidden state")
    func tower() throws {
        let stage = try GoldenStage("clip_vit")
        let report = GoldenReport(stage)
        for directory in stage.modelDirectories {
            let checkpoint = try CheckpointDirectory(path: stage.path(directory))
            let config = try checkpoint.decodeConfig(CLIPVisionConfig.self).transformer
            let reader = WeightReader(checkpoint.tensors)
            let tower = VisionTransformer(clip: config, reader.scoped("vision_model"))
            try reader.finish(source: directory)
            for file in stage.files(ofKind: "data") {
                try compare(tower, reader.scoped("vision_model"), report, file)
            }
        }
        report.finish()
    }

    private func compare(
        _ tower: VisionTransformer, _ weights: WeightReader, _ report: GoldenReport, _ file: String
    ) throws {
        let data = try report.data(file)
        let pixels = try #require(data["pixel_values"])
        let (layers, size) = (tower.config.numHiddenLayers, tower.config.hiddenSize)
        for layer in 0...layers {
            try report.check(file, "hidden_states.\(layer)", tower.hiddenState(pixels, at: layer))
        }
        let last = tower.hiddenState(pixels, at: layers)  // [B, N + 1, D]
        try report.check(file, "last_hidden_state", last)
        let classTokens = Tensor.concatenatingRows((0..<last.shape[0]).map { last[$0][0..<1] })
        let postNorm = LayerNorm(weights.scoped("post_layernorm"), size: size, epsilon: tower.config.layerNormEps)
        try report.check(file, "pooler_output", postNorm(classTokens))

        let selected = tower.hiddenState(pixels, at: try tower.config.hiddenStateIndex(selectLayer: -2))
        for name in data.keys where name.hasPrefix("llava_feature.") {
            let selection = try #require(FeatureSelection(rawValue: String(name.dropFirst("llava_feature.".count))))
            try report.check(file, name, selection(selected))
        }
        for layer in 0..<layers where data["attentions.\(layer)"] != nil {
            let block = tower.blocks[layer]
            let x = block.layerNorm1(tower.hiddenState(pixels, at: layer)[0])
            try report.check(
                file, "attentions.\(layer)",
                attentionTable(
                    queries: block.selfAttn.qProj(x), keys: block.selfAttn.kProj(x),
                    heads: block.selfAttn.numAttentionHeads))
        }
    }
}
