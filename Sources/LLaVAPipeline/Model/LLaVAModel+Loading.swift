import Bytes
import Foundation
import LanguageDecoder
import ModelFiles
import MQT
import NeuralNetwork
import PMoD
import Tensors
import VisionEncoder

extension LLaVAModel {
    /// Loads a checkpoint as it was downloaded; weights are mapped into memory and used in place.
    ///
    /// What is expanded beyond the files: norms, biases and position tables to float32, the patch filters to float32 in
    /// the kernel's order, and the attention table of a query transformer.
    /// - Parameter path: a directory in the original LLaVA layout, of a LLaMA decoder, or a file of weights in it;
    ///   a GGUF file of a LLaMA decoder, which gives a text-only model; or a directory with the `model.json` of an
    ///   assembled model.
    /// - Throws: `CheckpointError`, `WeightError` with everything that is missing, `LLaVAError`, or the error of a
    ///   configuration.
    public static func load(from path: String, options: LoadOptions = LoadOptions()) throws -> LLaVAModel {
        let assembled = try AssembledModel.find(at: path)
        let (decoderPath, options) =
            try assembled.map { try $0.model.loading(in: $0.directory, options) } ?? (path, options)
        let checkpoint = try CheckpointFiles(path: decoderPath, options: options)
        if case .convertedLLaVA = checkpoint.directory.layout {
            throw LLaVAError.malformed(path: path, reason: "\(checkpoint.directory.layout)")
        }
        let config = try JSONFile.decode(
            LLaVAConfig.self, from: checkpoint.configData, file: checkpoint.configPath)

        let lora = try options.lora.map(LowRankAdapterFiles.read)
        let reader = WeightReader(
            checkpoint.tensors.merging(lora?.tensors ?? [:]) { _, new in new },
            training: options.trains ?? { _ in false }, adaptation: lora?.adaptation ?? options.adaptation)
        let isWrapped = config.pmod?.retentionRatios(layerCount: 1)[0] != nil
        let firstLayer = isWrapped ? "model.layers.0.decoder_layer" : "model.layers.0"
        try reader.require(config.llama.anchors(firstLayer: firstLayer), source: path)
        let decoderReader = reader.quantizing(to: options.quantization.decoder)
        let decoder =
            if let pmod = config.pmod {
                LlamaModel(config.llama, pmod: pmod, decoderReader)
            } else {
                LlamaModel(config.llama, decoderReader)
            }
        let vision = try config.mmVisionTower.map { name in
            try Vision(config, checkpoint, reader, towerName: name, options)
        }
        try reader.finish(source: path)
        try checkUse(of: options, checkpoint, reader, tower: vision?.tower)
        return LLaVAModel(
            config: config, path: path, layout: checkpoint.directory.layout,
            tokenizerLocation: try TokenizerFiles.Location(of: checkpoint.directory),
            quantization: options.quantization,
            vision: vision, decoder: decoder, parameters: reader.parameters, adapters: reader.adapters)
    }

    /// Throws if a directory or file the caller gave has had no effect.
    private static func checkUse(
        of options: LoadOptions, _ checkpoint: CheckpointFiles, _ reader: WeightReader, tower: VisionTransformer?
    ) throws {
        if let path = options.visionTower, tower == nil {
            throw LLaVAError.unusedOption(path: path, reason: "the model has no mm_vision_tower in config.json")
        }
        let rounded = options.quantization
        let holdsPlainMaps = checkpoint.tensors.contains { name, tensor in
            name.hasPrefix("model.layers.") && !name.contains(".router.") && tensor.rank == 2
                && !tensor.elementType.isBlockQuantized
        }
        let roundsTower = rounded.encoder != nil && tower?.holdsPlainMaps == true
        if let words = rounded.words, !roundsTower, rounded.decoder == nil || !holdsPlainMaps {
            let reason =
                tower == nil && rounded.decoder == nil
                ? "the model has no such weights" : "the files hold them in blocks"
            throw LLaVAError.unusedOption(path: words, reason: reason)
        }
        if let lora = options.lora {
            let left = reader.unused.filter { $0.contains(".lora_A.") || $0.contains(".lora_B.") }
            if let first = left.first {
                throw LLaVAError.unusedOption(
                    path: lora, reason: "the model has no map for \(left.count) of its tensors, such as \(first)")
            }
        }
        if let adapter = options.adapter, checkpoint.adapterNames.isSubset(of: reader.unused) {
            throw LLaVAError.unusedOption(
                path: adapter, reason: "the configuration describes a model that uses none of its tensors")
        }
    }
}

/// A checkpoint with the caller's overrides applied.
struct CheckpointFiles {
    let directory: CheckpointDirectory
    let configData: Data
    /// What the configuration is called in messages.
    var configPath: String { directory.gguf?.path ?? directory.path + "/config.json" }
    /// The configuration's keys and values.
    var config: JSONValue { get throws { try JSONValue(parsing: [UInt8](configData), source: configPath) } }
    var tensors: [String: Tensor]
    /// Names of the tensors that come from an adapter.
    private(set) var adapterNames: Set<String> = []

    init(path: String, options: LoadOptions) throws {
        let checkpoint = try CheckpointDirectory(path: path)
        let gguf = try checkpoint.gguf.map { try GGUFCheckpoint($0) }
        let llama = try gguf?.llama()
        let base = try llama.flatMap { try gguf?.configData($0.config) } ?? checkpoint.configData
        let adapter = try options.adapter.map { try CheckpointDirectory(path: $0) }
        let config = try adapter.map { try AdapterConfiguration.merged(base, with: $0) }
        configData = try ConfigOverrides.apply(options.configOverrides, to: config ?? base, path: path)
        directory = checkpoint
        tensors = llama?.tensors ?? checkpoint.tensors
        if let adapter { add(adapter) }
    }

    /// Adds the tensors of an adapter file, under the names of a whole checkpoint.
    private mutating func add(_ adapter: CheckpointDirectory) {
        for (name, tensor) in adapter.tensors {
            // Whatever stands before the part's own name depends on the wrapper it was saved from.
            for part in ["query_abstractor.", "mm_projector.", "image_newline"] {
                guard let range = name.range(of: part) else { continue }
                let full = "model." + name[range.lowerBound...]
                tensors[full] = tensor
                adapterNames.insert(full)
            }
        }
    }
}

/// Values that replace those of a config.json.
enum ConfigOverrides {
    /// The configuration with the given keys replaced; a value is read as JSON, or else taken as a string.
    static func apply(_ overrides: [(key: String, value: String)], to data: Data, path: String) throws -> Data {
        if overrides.isEmpty { return data }
        guard var object = try JSONSerialization.jsonObject(with: data) as? [String: Any] else {
            throw LLaVAError.malformed(path: path, reason: "config.json is not an object")
        }
        for (key, value) in overrides {
            guard LLaVAConfig.keys.contains(key) else {
                throw LLaVAError.unknownKey(key: key, known: LLaVAConfig.keys.sorted())
            }
            object[key] =
                (try? JSONSerialization.jsonObject(with: Data(value.utf8), options: .fragmentsAllowed)) ?? value
        }
        return try JSONSerialization.data(withJSONObject: object, options: [.prettyPrinted, .sortedKeys])
    }
}

extension LLaVAModel.Vision {
    fileprivate init(
        _ config: LLaVAConfig, _ checkpoint: CheckpointFiles, _ reader: WeightReader, towerName: String,
        _ options: LoadOptions
    ) throws {
        let files = try VisionTowerFiles(
            of: checkpoint.directory, named: towerName, in: options.visionTower,
            quantizedTo: options.quantization.encoder)
        tower = files.tower
        weightsPath = files.weightsPath
        hiddenStateIndex = try tower.config.hiddenStateIndex(selectLayer: config.mmVisionSelectLayer)
        guard let selection = FeatureSelection(rawValue: config.mmVisionSelectFeature) else {
            throw LLaVAError.unsupported(
                key: "mm_vision_select_feature", value: config.mmVisionSelectFeature, supported: "patch or cls_patch")
        }
        guard selection == .patch || tower.config.hasClassToken else {
            throw LLaVAError.unsupported(
                key: "mm_vision_select_feature", value: config.mmVisionSelectFeature,
                supported: "patch for a tower without a class token")
        }
        featureSelection = selection
        imageProcessor = files.processor
        imageProcessing = try ImageProcessing(
            configuration: Array(checkpoint.configData), file: checkpoint.configPath)
        let grid = imageProcessor.patchGrid(of: tower)
        connector = try VisualConnector(config, checkpoint, reader, tower: tower.config, grid, selection)
        imageNewline = try Self.newline(config, reader, imageProcessing, connector)
    }

    /// The line break of LLaVA-NeXT, where the configuration arranges tiles in space.
    private static func newline(
        _ config: LLaVAConfig, _ reader: WeightReader, _ processing: ImageProcessing, _ connector: VisualConnector
    ) throws -> Tensor? {
        switch (config.mmPatchMergeType, processing, connector) {
        case ("flat", .anyResolution, .projector):
            throw LLaVAError.unsupported(
                key: "mm_patch_merge_type", value: "flat with image_aspect_ratio anyres",
                supported: "spatial_unpad with anyres")
        case ("flat", _, _): return nil
        case ("spatial_unpad", _, .projector): return reader.vector("model.image_newline", config.llama.hiddenSize)
        default:
            throw LLaVAError.unsupported(
                key: "mm_patch_merge_type", value: config.mmPatchMergeType,
                supported: "flat, or spatial_unpad beside a projector")
        }
    }
}

/// Most attention weights that a query transformer's table may hold, 0.5 GB of them; MQT-LLaVA's has 2.4 million.
private let attentionTableLimit = 1 << 27

extension VisualConnector {
    fileprivate init(
        _ config: LLaVAConfig, _ checkpoint: CheckpointFiles, _ reader: WeightReader, tower: VisionTransformerConfig,
        _ grid: PatchGrid, _ selection: FeatureSelection
    ) throws {
        guard let type = config.queryAbstractorType else {
            self = .projector(
                try MultimodalProjector(
                    reader.scoped("model.mm_projector"), type: config.mmProjectorType, featureSize: tower.hiddenSize,
                    tokenSize: config.llama.hiddenSize))
            return
        }
        guard type == "matry_query", selection == .patch else {
            throw LLaVAError.unsupported(
                key: "query_abstractor_type", value: "\(type) on \(selection.rawValue) features",
                supported: "matry_query on patch features")
        }
        let weights = reader.scoped("model.query_abstractor")
        let queries = checkpoint.tensors["model.query_abstractor.query"]?.shape.first ?? 1
        try weights.require(
            [("query", [queries, tower.hiddenSize]), ("proj", [tower.hiddenSize, config.llama.hiddenSize])],
            source: checkpoint.directory.path)
        let side = Int(Double(queries).squareRoot().rounded())
        guard queries > 0, side * side == queries else {
            throw LLaVAError.unsupported(
                key: "model.query_abstractor.query", value: "\(queries) rows", supported: "a square number of queries")
        }
        // The published code builds 16 heads for ViT-L/14, whose own attention has 16 too, and stores neither.
        let heads = config.queryAbstractorNumHeads ?? tower.numAttentionHeads
        guard heads > 0, tower.hiddenSize % heads == 0 else {
            throw LLaVAError.unsupported(
                key: "query_abstractor_num_heads", value: "\(heads)", supported: "a divisor of \(tower.hiddenSize)")
        }
        if let standard = config.numVisualTokens, !(1...queries).contains(standard) {
            throw LLaVAError.unsupported(
                key: "num_visual_tokens", value: "\(standard)",
                supported: "1...\(queries), as many as the checkpoint has queries")
        }
        guard heads * queries * grid.count <= attentionTableLimit else {
            throw LLaVAError.unsupported(
                key: "query_abstractor_num_heads",
                value: "\(heads) for \(queries) queries and \(grid.count) patches",
                supported: "at most \(attentionTableLimit) attention weights")
        }
        guard let keys = QueryTransformer.KeySource(rawValue: config.queryAbstractorKeys) else {
            throw LLaVAError.unsupported(
                key: "query_abstractor_keys", value: config.queryAbstractorKeys,
                supported: "positions or features_and_positions")
        }
        guard let values = QueryTransformer.ValueSource(rawValue: config.queryAbstractorValues) else {
            throw LLaVAError.unsupported(
                key: "query_abstractor_values", value: config.queryAbstractorValues,
                supported: "features or features_and_positions")
        }
        let transformer = QueryTransformer(
            weights, maximumTokens: queries, featureSize: tower.hiddenSize,
            tokenSize: config.llama.hiddenSize, numHeads: heads, keys: keys, values: values)
        self = .queryTransformer(transformer, transformer.attentionTable(for: grid))
    }
}
