import Foundation
public import LanguageDecoder
import ModelFiles
public import PMoD
import VisionEncoder

/// The configuration of a LLaVA-style model, as the original LLaVA, MQT-LLaVA and p-MoD write it to `config.json`.
public struct LLaVAConfig: Sendable, Equatable {
    /// The decoder.
    public var llama: LlamaConfig
    /// The mixture of depths; nil for a dense decoder.
    public var pmod: PMoDConfig?
    /// Name or path of the vision tower; nil for a text-only model.
    public var mmVisionTower: String?
    /// Which hidden state of the tower the features are.
    public var mmVisionSelectLayer: Int
    /// `patch` or `cls_patch`.
    public var mmVisionSelectFeature: String
    /// `linear` or `mlpNx_gelu`; meaningless beside a query transformer.
    public var mmProjectorType: String
    /// `matry_query` for a Matryoshka query transformer, or nil.
    public var queryAbstractorType: String?
    /// Attention heads of the query transformer; the published code does not store them. Nil takes the tower's.
    public var queryAbstractorNumHeads: Int?
    /// What the query transformer's keys are made of: `positions`, as published, or `features_and_positions` (a key of
    /// ours).
    public var queryAbstractorKeys: String
    /// What its values are made of: `features`, as published, or `features_and_positions` (a key of ours).
    public var queryAbstractorValues: String
    /// Visual tokens the checkpoint was last run with; nil where the training script left a word there.
    public var numVisualTokens: Int?
    /// How the views of one image are put in sequence: `flat` or `spatial_unpad`.
    public var mmPatchMergeType: String
    /// Limit on the patches of the tiles of one image, in multiples of the tower's grid.
    public var maxNumPatches: Int?
    /// Longest spliced sequence a training row may have.
    public var tokenizerModelMaxLength: Int?
    /// Ids that end an answer.
    public var eosTokenIds: Set<Int>
    /// Name of the conversation template the model was trained with, where the file says so (a key of ours).
    public var conversationTemplate: String?
    /// Whether the weights are random, so that answers mean nothing.
    public var isUntrained: Bool

    /// Whether images are compressed by a query transformer, so that the number of visual tokens is free.
    public var isElastic: Bool { queryAbstractorType != nil }
}

extension LLaVAConfig: Decodable {
    private enum Key: String, CodingKey, CaseIterable {
        case mmVisionTower, mmVisionSelectLayer, mmVisionSelectFeature, mmProjectorType, mmPatchMergeType
        case queryAbstractorType, queryAbstractorNumHeads, queryAbstractorKeys, queryAbstractorValues, numVisualTokens,
            maxNumPatches,
            tokenizerModelMaxLength
        case modTargetLayers, eosTokenId, conversationTemplate, untrained
    }

    /// Every key of `config.json` that a model is made from.
    public static let keys = Set(
        LlamaConfig.keys.union(PMoDConfig.keys).union(Key.allCases.map(\.rawValue)).map(ConfigurationKey.snakeCase)
    ).union(ImageProcessing.keys)

    /// Reads a configuration whose keys were converted from snake case; keys that are left out take the original code's defaults.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        llama = try LlamaConfig(from: decoder)
        let hasPMoD = try values.decodeIfPresent(String.self, forKey: .modTargetLayers) != nil
        pmod = hasPMoD ? try PMoDConfig(from: decoder) : nil
        mmVisionTower = try values.decodeIfPresent(String.self, forKey: .mmVisionTower)
        mmVisionSelectLayer = try values.decodeIfPresent(Int.self, forKey: .mmVisionSelectLayer) ?? -2
        mmVisionSelectFeature = try values.decodeIfPresent(String.self, forKey: .mmVisionSelectFeature) ?? "patch"
        mmProjectorType = try values.decodeIfPresent(String.self, forKey: .mmProjectorType) ?? "linear"
        queryAbstractorType = try values.decodeIfPresent(String.self, forKey: .queryAbstractorType)
        queryAbstractorNumHeads = try values.decodeIfPresent(Int.self, forKey: .queryAbstractorNumHeads)
        queryAbstractorKeys = try values.decodeIfPresent(String.self, forKey: .queryAbstractorKeys) ?? "positions"
        queryAbstractorValues =
            try values.decodeIfPresent(String.self, forKey: .queryAbstractorValues) ?? "features"
        // Stage 2 of MQT leaves "second_stage" here, which means any number while training and M afterwards.
        numVisualTokens = try? values.decodeIfPresent(Int.self, forKey: .numVisualTokens)
        mmPatchMergeType = try values.decodeIfPresent(String.self, forKey: .mmPatchMergeType) ?? "flat"
        maxNumPatches = try values.decodeIfPresent(Int.self, forKey: .maxNumPatches)
        // So that the number of patches can be counted.
        if let maxNumPatches, !(1...1 << 20).contains(maxNumPatches) {
            throw LLaVAError.unsupported(
                key: "max_num_patches", value: "\(maxNumPatches)", supported: "1...\(1 << 20), or null")
        }
        tokenizerModelMaxLength = try values.decodeIfPresent(Int.self, forKey: .tokenizerModelMaxLength)
        // One id or a list of them.
        let ids = try? values.decodeIfPresent([Int].self, forKey: .eosTokenId)
        eosTokenIds = try Set(ids ?? values.decodeIfPresent(Int.self, forKey: .eosTokenId).map { [$0] } ?? [])
        conversationTemplate = try values.decodeIfPresent(String.self, forKey: .conversationTemplate)
        isUntrained = try values.decodeIfPresent(Bool.self, forKey: .untrained) ?? false
    }
}
