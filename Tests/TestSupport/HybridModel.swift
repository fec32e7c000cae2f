public import Foundation

/// The configuration of a model that is small enough to train in a test: a hybrid tower of pictures of 32 pixels with
/// 16 patches, a query transformer of 16 queries, a decoder of four layers of 32 with the tiny model's words.
public enum HybridModel {
    /// Writes the files of the configuration.
    public static func configuration(in directory: URL) throws -> URL {
        let url = directory.appending(path: "configuration-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: url.appending(path: "vision_tower"), withIntermediateDirectories: true)
        for name in ["config.json", "tokenizer.model", "tokenizer_config.json"] {
            try FileManager.default.copyItem(
                at: TinyModel.directory.appending(path: name), to: url.appending(path: name))
        }
        let noMixture = [
            "mod_target_layers", "mod_target_token_type", "mod_router_factor", "mod_weight_norm", "mod_bias_enabled",
        ]
        var changes: [String: Any?] = [
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2,
            "num_key_value_heads": 2, "mm_hidden_size": 16, "mm_vision_select_layer": -1, "num_visual_tokens": 16,
            "query_abstractor_num_heads": 2, "query_abstractor_values": "features_and_positions",
        ]
        for key in noMixture { changes.updateValue(nil, forKey: key) }
        try TinyModel.change(changes, in: url.appending(path: "config.json"))
        let tower: [String: Any] = [
            "model_type": "hybrid_vit", "stem_channels": [8, 12], "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32,
        ]
        try JSONSerialization.data(withJSONObject: tower)
            .write(to: url.appending(path: "vision_tower/config.json"))
        return url
    }
}
