import Foundation
import ModelFiles

/// What an adapter file adds to the configuration of the base model it is used with.
///
/// A plain decoder's config.json knows nothing of images. The `mm_*` keys come from the config.json beside the adapter, if
/// there is one; which connector it is, its tensors tell.
enum AdapterConfiguration {
    /// Keys that belong to the part of a model that sees.
    private static let prefixes = ["mm_", "query_abstractor", "num_visual_tokens", "image_", "max_num_patches"]

    /// A base model's configuration together with an adapter's.
    /// - Throws: `LLaVAError.malformed` if the file is no adapter, or its configuration no object.
    static func merged(_ base: Data, with adapter: CheckpointDirectory) throws -> Data {
        guard case .adapter(let connectors) = adapter.layout, let connector = connectors.first else {
            throw LLaVAError.malformed(
                path: adapter.path, reason: "holds \(adapter.layout), expected a query_abstractor or mm_projector")
        }
        var object = try members(of: base, path: adapter.path)
        for (key, value) in try members(of: adapter.configData, path: adapter.path)
        where prefixes.contains(where: key.hasPrefix) {
            object[key] = value
        }
        switch connector {
        case .queryAbstractor: object["query_abstractor_type"] = "matry_query"
        case .mlp(let linearLayers):
            object["query_abstractor_type"] = nil
            object["mm_projector_type"] = "mlp\(linearLayers)x_gelu"
        case .linear:
            object["query_abstractor_type"] = nil
            object["mm_projector_type"] = "linear"
        }
        if object["mm_vision_tower"] == nil { object["mm_vision_tower"] = "of the adapter" }
        return try JSONSerialization.data(withJSONObject: object)
    }

    private static func members(of data: Data, path: String) throws -> [String: Any] {
        guard let object = try JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            throw LLaVAError.malformed(path: path, reason: "config.json is not an object")
        }
        return object
    }
}
