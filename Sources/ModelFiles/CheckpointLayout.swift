public import Bytes

/// Which family of models a checkpoint belongs to and which parts it holds.
///
/// Tensor names decide wherever they can; `config.json` is asked for what they cannot tell. Names and keys are those
/// that the LLaVA, MQT-LLaVA and p-MoD code and Hugging Face's CLIP and LLaMA write.
public enum CheckpointLayout: Sendable, Equatable {
    /// A decoder with the names of the original LLaVA code, with or without its other parts.
    case llava(LLaVAParts)
    /// A LLaMA decoder alone.
    case llama(layers: Int)
    /// A CLIP model with both its towers (`CLIPModel`).
    case clip
    /// The vision tower of CLIP alone (`CLIPVisionModel`).
    case clipVision
    /// A DINOv2 vision tower (`Dinov2Model`), perhaps as the backbone of a larger model.
    case dinov2Vision
    /// A tower of convolutions and transformer blocks (a form of ours, `hybrid_vit`).
    case hybridVision
    /// Connectors alone, to be used with a base model: `query_abstractor.bin`, `mm_projector.bin`.
    case adapter([Connector])
    /// LLaVA as Hugging Face converts it, with other tensor names and config keys; `modelType` is its `model_type`.
    case convertedLLaVA(modelType: String)
    /// A GGUF file; `architecture` is its `general.architecture`.
    case gguf(architecture: String?)
    /// None of these; `tensors` holds the first tensor names in alphabetical order.
    case unknown(modelType: String?, tensors: [String])

    /// What stands between the vision tower and the decoder.
    public enum Connector: Sendable, Equatable {
        /// MQT's query transformer.
        case queryAbstractor
        /// Linear layers with GELU between them: `mlp2x_gelu` has 2.
        case mlp(linearLayers: Int)
        /// One linear layer.
        case linear
    }

    /// Where the weights of the vision tower are.
    public enum VisionTower: Sendable, Equatable {
        /// In this checkpoint, under `model.vision_tower.vision_tower.`.
        case included
        /// Elsewhere, under the name or path that `mm_vision_tower` gives.
        case separate(String)
        /// Not mentioned.
        case none
    }

    /// The parts of a LLaVA checkpoint.
    public struct LLaVAParts: Sendable, Equatable {
        /// Layers of the decoder.
        public var decoderLayers: Int
        /// Which layers have a mixture-of-depths router, ascending; empty for a plain decoder.
        public var mixtureOfDepthsLayers: [Int]
        /// What turns vision features into tokens; nil if it is not in the checkpoint.
        public var connector: Connector?
        /// Where the vision tower is.
        public var visionTower: VisionTower
        /// Whether the learned end of an image row of LLaVA-NeXT is there.
        public var hasImageNewline: Bool

        /// The parts of one checkpoint.
        public init(
            decoderLayers: Int, mixtureOfDepthsLayers: [Int] = [], connector: Connector?, visionTower: VisionTower,
            hasImageNewline: Bool = false
        ) {
            self.decoderLayers = decoderLayers
            self.mixtureOfDepthsLayers = mixtureOfDepthsLayers
            self.connector = connector
            self.visionTower = visionTower
            self.hasImageNewline = hasImageNewline
        }
    }
}

extension CheckpointLayout {
    /// Whether the checkpoint is a GGUF file.
    public var isGGUF: Bool {
        if case .gguf = self { true } else { false }
    }
}

// MARK: - Recognising

extension CheckpointLayout {
    /// Recognises the layout by the keys of `config` and the names of the tensors.
    public init(config: JSONValue, tensorNames: some Collection<String>) {
        let modelType = config["model_type"]?.string
        func has(_ prefix: String) -> Bool { tensorNames.contains { $0.hasPrefix(prefix) } }

        // The original code, too, once wrote model_type "llava": the names must tell, or the nested configs.
        let isNested = config["text_config"] != nil && config["vision_config"] != nil
        if has("multi_modal_projector.") || has("model.multi_modal_projector.") || has("language_model.")
            || (isNested && modelType?.hasPrefix("llava") == true)
        {
            self = .convertedLLaVA(modelType: modelType ?? "none")
            return
        }

        let connectors = Self.connectors(in: tensorNames)
        let layers = Self.layers(in: tensorNames)
        if layers.count > 0 {
            let tower = config["mm_vision_tower"]?.string
            let parts = LLaVAParts(
                decoderLayers: layers.count, mixtureOfDepthsLayers: layers.routed, connector: connectors.first,
                visionTower: has("model.vision_tower.")
                    ? .included : tower.map { .separate($0) } ?? VisionTower.none,
                hasImageNewline: tensorNames.contains("model.image_newline"))
            let isLLaVA =
                parts.connector != nil || parts.visionTower != .none || !parts.mixtureOfDepthsLayers.isEmpty
                || modelType?.contains("llava") == true
            self = isLLaVA ? .llava(parts) : .llama(layers: layers.count)
        } else if !connectors.isEmpty {
            self = .adapter(connectors)
        } else if has("vision_model.") {
            self = has("text_model.") ? .clip : .clipVision
        } else if tensorNames.contains(where: { ".\($0)".hasSuffix(".encoder.layer.0.layer_scale1.lambda1") }) {
            self = .dinov2Vision
        } else if has("embeddings.stem.") || modelType == "hybrid_vit" {
            self = .hybridVision
        } else {
            self = .unknown(modelType: modelType, tensors: Array(tensorNames.sorted().prefix(5)))
        }
    }

    /// The connectors whose tensors are there; the query transformer first, because MQT's config names a projector it
    /// does not have.
    private static func connectors(in names: some Collection<String>) -> [Connector] {
        var connectors: [Connector] = []
        if names.contains(where: { isPart("query_abstractor", of: $0) }) { connectors.append(.queryAbstractor) }
        let projector = names.compactMap { name in
            isPart("mm_projector", of: name)
                ? name.split(separator: ".").drop { $0 != "mm_projector" }.dropFirst() : nil
        }
        if projector.contains(where: { $0.first == "weight" }) {
            connectors.append(.linear)
        } else if !projector.isEmpty {
            connectors.append(
                .mlp(linearLayers: Set(projector.filter { $0.last == "weight" }.compactMap(\.first)).count))
        }
        return connectors
    }

    private static func isPart(_ part: String, of name: String) -> Bool {
        name.hasPrefix("\(part).") || name.hasPrefix("model.\(part).")
    }

    /// How many decoder layers there are and which of them have a router.
    private static func layers(in names: some Collection<String>) -> (count: Int, routed: [Int]) {
        var layers: Set<Int> = []
        var routed: Set<Int> = []
        for name in names where name.hasPrefix("model.layers.") {
            let parts = name.split(separator: ".")
            guard parts.count > 3, let layer = Int(parts[2]), (0..<1 << 20).contains(layer) else { continue }
            layers.insert(layer)
            if parts[3] == "router" { routed.insert(layer) }
        }
        return (layers.count, routed.sorted())
    }
}

// MARK: - Describing

extension CheckpointLayout: CustomStringConvertible {
    /// One phrase for a person.
    public var description: String {
        switch self {
        case .llava(let parts): parts.description
        case .llama(let layers): "LLaMA decoder of \(layers) layers"
        case .clip: "CLIP with vision and text towers"
        case .clipVision: "CLIP vision tower"
        case .dinov2Vision: "DINOv2 vision tower"
        case .hybridVision: "hybrid vision tower (convolutions, then transformer blocks)"
        case .adapter(let connectors):
            "adapter for a base model: " + connectors.map(\.description).joined(separator: " and ")
        case .convertedLLaVA(let modelType):
            "LLaVA converted by Hugging Face (model_type \"\(modelType)\"), which cannot be loaded: give the original "
                + "checkpoint, whose tensors are called model.layers and model.mm_projector or model.query_abstractor"
        case .gguf(let architecture): "GGUF, architecture \(architecture ?? "missing")"
        case .unknown(let modelType, let tensors):
            "unknown (model_type \(modelType.map { "\"\($0)\"" } ?? "missing"), tensors such as "
                + "\(tensors.joined(separator: ", ")))"
        }
    }
}

extension CheckpointLayout.Connector: CustomStringConvertible {
    /// One phrase for a person.
    public var description: String {
        switch self {
        case .queryAbstractor: "query transformer (MQT)"
        case .mlp(let linearLayers): "MLP projector (mlp\(linearLayers)x_gelu)"
        case .linear: "linear projector"
        }
    }
}

extension CheckpointLayout.LLaVAParts: CustomStringConvertible {
    /// One phrase for a person.
    public var description: String {
        var parts = ["LLaVA decoder of \(decoderLayers) layers"]
        if let first = mixtureOfDepthsLayers.first, let last = mixtureOfDepthsLayers.last {
            let isRun = last - first == mixtureOfDepthsLayers.count - 1
            let which = isRun ? "\(first) to \(last)" : mixtureOfDepthsLayers.map(String.init).joined(separator: ", ")
            parts[0] += ", mixture of depths (p-MoD) in layers \(which)"
        }
        parts.append(connector?.description ?? "no connector")
        switch visionTower {
        case .included: parts.append("vision tower included")
        case .separate(let name): parts.append("vision tower separate (\(name))")
        case .none: parts.append("no vision tower")
        }
        if hasImageNewline { parts.append("image newline") }
        return parts.joined(separator: "; ")
    }
}
