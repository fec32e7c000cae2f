import Bytes
import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@Suite("Checkpoint layouts")
struct CheckpointLayoutTests {
    private static let decoder =
        (0..<12).map { "model.layers.\($0).mlp.up_proj.weight" } + ["model.embed_tokens.weight"]
    private static let tower = ["model.vision_tower.vision_tower.vision_model.post_layernorm.weight"]
    private static let mlp = [
        "model.mm_projector.0.weight", "model.mm_projector.0.bias", "model.mm_projector.2.weight",
    ]

    struct Case: Sendable {
        var config: [String: JSONValue]
        var names: [String]
        var layout: CheckpointLayout
        var text: String
    }

    private static func llava(
        _ connector: CheckpointLayout.Connector?, _ tower: CheckpointLayout.VisionTower, routed: [Int] = [],
        newline: Bool = false
    ) -> CheckpointLayout {
        .llava(
            .init(
                decoderLayers: 12, mixtureOfDepthsLayers: routed, connector: connector, visionTower: tower,
                hasImageNewline: newline))
    }

    private static let cases: [Case] = [
        Case(
            config: ["model_type": .string("llava_llama"), "mm_projector_type": .string("linear")],
            names: decoder + tower + ["model.query_abstractor.query"], layout: llava(.queryAbstractor, .included),
            text: "LLaVA decoder of 12 layers; query transformer (MQT); vision tower included"),
        Case(
            config: ["model_type": .string("llava"), "mm_vision_tower": .string("openai/clip")], names: decoder + mlp,
            layout: llava(.mlp(linearLayers: 2), .separate("openai/clip")),
            text: "LLaVA decoder of 12 layers; MLP projector (mlp2x_gelu); vision tower separate (openai/clip)"),
        Case(
            config: [:], names: decoder + ["model.mm_projector.weight", "model.mm_projector.bias"],
            layout: llava(.linear, .none), text: "LLaVA decoder of 12 layers; linear projector; no vision tower"),
        Case(
            config: ["model_type": .string("pmod_llava_llama")],
            names: decoder + tower + mlp + ["model.image_newline"]
                + (8..<12).map { "model.layers.\($0).router.router.weight" },
            layout: llava(.mlp(linearLayers: 2), .included, routed: [8, 9, 10, 11], newline: true),
            text:
                "LLaVA decoder of 12 layers, mixture of depths (p-MoD) in layers 8 to 11; MLP projector (mlp2x_gelu); "
                + "vision tower included; image newline"),
        Case(
            config: [:], names: decoder + [1, 3, 5].map { "model.layers.\($0).router.router.weight" },
            layout: llava(nil, .none, routed: [1, 3, 5]),
            text:
                "LLaVA decoder of 12 layers, mixture of depths (p-MoD) in layers 1, 3, 5; no connector; no vision tower"
        ),
        Case(
            config: ["model_type": .string("llama")], names: decoder, layout: .llama(layers: 12),
            text: "LLaMA decoder of 12 layers"),
        Case(
            config: [:], names: ["vision_model.a", "text_model.a", "logit_scale"], layout: .clip,
            text: "CLIP with vision and text towers"),
        Case(config: [:], names: ["vision_model.a"], layout: .clipVision, text: "CLIP vision tower"),
        Case(
            config: [:], names: ["mm_projector.0.weight", "mm_projector.2.weight", "query_abstractor.query"],
            layout: .adapter([.queryAbstractor, .mlp(linearLayers: 2)]),
            text: "adapter for a base model: query transformer (MQT) and MLP projector (mlp2x_gelu)"),
        Case(
            config: ["model_type": .string("llava")],
            names: ["language_model.model.layers.0.mlp.up_proj.weight", "multi_modal_projector.linear_1.weight"],
            layout: .convertedLLaVA(modelType: "llava"),
            text: "LLaVA converted by Hugging Face (model_type \"llava\"), which cannot be loaded: give the original "
                + "checkpoint, whose tensors are called model.layers and model.mm_projector or model.query_abstractor"),
        Case(
            config: ["model_type": .string("llava_next"), "text_config": .object([:]), "vision_config": .object([:])],
            names: decoder, layout: .convertedLLaVA(modelType: "llava_next"),
            text:
                "LLaVA converted by Hugging Face (model_type \"llava_next\"), which cannot be loaded: give the original "
                + "checkpoint, whose tensors are called model.layers and model.mm_projector or model.query_abstractor"),
        Case(
            config: ["model_type": .string("bert")], names: ["f", "e", "d", "c", "b", "a"],
            layout: .unknown(modelType: "bert", tensors: ["a", "b", "c", "d", "e"]),
            text: "unknown (model_type \"bert\", tensors such as a, b, c, d, e)"),
        Case(
            config: ["model_type": .integer(3)], names: ["model.layers.x.y", "model.layers.", "model.layers"],
            layout: .unknown(modelType: nil, tensors: ["model.layers", "model.layers.", "model.layers.x.y"]),
            text: "unknown (model_type missing, tensors such as model.layers, model.layers., model.layers.x.y)"),
    ]

    @Test("names and keys give the layout and its description", arguments: cases)
    func recognise(_ expected: Case) {
        let layout = CheckpointLayout(config: .object(expected.config), tensorNames: expected.names)
        #expect(layout == expected.layout)
        #expect(layout.description == expected.text)
    }

    @Test(
        "every golden checkpoint is what it is",
        arguments: [
            ("llama/mha_tied", .llama(layers: 2)), ("llama/gqa_untied", .llama(layers: 3)),
            ("clip_vit/vision_model", .clipVision), ("clip_vit/full_clip", .clip),
            ("llava/query_abstractor.bin", .adapter([.queryAbstractor])),
            (
                "llava/checkpoint_bin",
                .llava(
                    .init(
                        decoderLayers: 2, mixtureOfDepthsLayers: [], connector: .queryAbstractor,
                        visionTower: .included, hasImageNewline: false))
            ),
            (
                "pmod/model",
                .llava(
                    .init(
                        decoderLayers: 32, mixtureOfDepthsLayers: Array(8..<32), connector: nil, visionTower: .none,
                        hasImageNewline: false))
            ),
            (
                "pmod_llava/checkpoint",
                .llava(
                    .init(
                        decoderLayers: 12, mixtureOfDepthsLayers: [8, 9, 10, 11], connector: .mlp(linearLayers: 2),
                        visionTower: .included, hasImageNewline: true))
            ),
        ] as [(String, CheckpointLayout)])
    func golden(path: String, layout: CheckpointLayout) throws {
        #expect(try CheckpointDirectory(path: Fixtures.golden.appending(path: path).path).layout == layout)
    }

    @Test("layers whose numbers no model has are not counted")
    func absurdLayers() {
        let names = [Int.min, -1, 0, 1 << 20, .max].map { "model.layers.\($0).router.router.weight" }
        let layout = CheckpointLayout(config: .object([:]), tensorNames: names)
        #expect(
            layout == .llava(.init(decoderLayers: 1, mixtureOfDepthsLayers: [0], connector: nil, visionTower: .none)))
        #expect(layout.description.contains("of 1 layers, mixture of depths (p-MoD) in layers 0 to 0"))
    }
}
