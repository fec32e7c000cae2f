import Foundation

/// The mixture-of-depths part of a p-MoD configuration.
///
/// Source: p-MoD (arXiv 2412.04449); repository MCG-NJU/p-MoD at 459f6df, `pmod_llava_llama.py`.
public struct PMoDConfig: Sendable, Equatable {
    /// Which layers skip tokens, and how many each keeps.
    public var modTargetLayers: TargetLayers
    /// Which tokens of the prompt may be skipped.
    public var modTargetTokenType: TargetTokenType
    /// Retention ratio of layers without decay; shift of the decay otherwise.
    public var modRouterFactor: Double
    /// How router logits become weights.
    public var modWeightNorm: WeightNorm
    /// Whether the router has a bias.
    public var modBiasEnabled: Bool
    /// Whether a decay ends in the model's own last layer; the published code's ends in layer 31 of any model. A key of
    /// ours, absent in released checkpoints.
    public var modDecayOverDepth = false
    /// The least that a layer keeps of a sequence's tokens, if there are so many. A key of ours; 0 in released
    /// checkpoints, where few tokens truncate to none.
    public var modMinimumTokens = 0
    /// Whether tokens that a layer skips are reweighted like those that it processes (STRing). A key of ours; released
    /// checkpoints always do.
    public var modSymmetricReweighting = true

    /// The choice of layers, as `mod_target_layers` spells it.
    public enum TargetLayers: Sendable, Equatable {
        /// `shiftedcos_decay_MAX_MIN` or `shiftedlinear_decay_MAX_MIN`.
        case decay(ProgressiveRatioDecay)
        /// Layers 2...L-2.
        case deepAll
        /// Layers 2...L-1.
        case deepAllIncludeLast
        /// The odd layers.
        case interleave
    }

    /// The choice of tokens, as `mod_target_token_type` spells it.
    public enum TargetTokenType: String, Sendable, Equatable {
        /// Every image token, line breaks included.
        case visionAll = "vision_all"
        /// Only the high-resolution tiles, not the whole-image view.
        case visionHighResolution = "vision_hr"
        /// Text too.
        case all
    }

    /// How many of `count` tokens that may be skipped each of `layerCount` layers keeps.
    public func keptTokens(of count: Int, layerCount: Int) -> [Int] {
        retentionRatios(layerCount: layerCount).map { ratio in
            ratio.map { min(count, max(TokenRouter.keptCount(of: count, ratio: $0), modMinimumTokens)) } ?? count
        }
    }

    /// The retention ratio of each of `layerCount` layers; nil for plain layers.
    public func retentionRatios(layerCount: Int) -> [Double?] {
        (0..<layerCount).map { layer in
            switch modTargetLayers {
            case .decay(let decay):
                decay.ratio(
                    layer: layer, factor: modRouterFactor,
                    lastLayer: modDecayOverDepth ? layerCount - 1 : ProgressiveRatioDecay.publishedLastLayer)
            case .deepAll: (2..<max(2, layerCount - 1)).contains(layer) ? modRouterFactor : nil
            case .deepAllIncludeLast: layer >= 2 ? modRouterFactor : nil
            case .interleave: layer % 2 == 1 ? modRouterFactor : nil
            }
        }
    }
}

extension PMoDConfig: Decodable {
    private enum Key: String, CodingKey, CaseIterable {
        case modTargetLayers, modTargetTokenType, modRouterFactor, modWeightNorm, modBiasEnabled, modDecayOverDepth
        case modMinimumTokens, modSymmetricReweighting
    }

    /// Every key of `config.json` that the mixture of depths is made from, converted from snake case.
    public static let keys = Set(Key.allCases.map(\.rawValue))

    /// Reads the `mod_*` keys of a `config.json`, converted from snake case.
    /// - Throws: `PMoDConfigError.unsupported` for a spelling the reference does not know either.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: Key.self)
        modRouterFactor = try values.decodeIfPresent(Double.self, forKey: .modRouterFactor) ?? 0.5
        guard modRouterFactor.isFinite, (0...1).contains(modRouterFactor) else {
            throw PMoDConfigError.unsupported(key: "mod_router_factor", value: "\(modRouterFactor)", supported: "0...1")
        }
        modBiasEnabled = try values.decodeIfPresent(Bool.self, forKey: .modBiasEnabled) ?? false
        modDecayOverDepth = try values.decodeIfPresent(Bool.self, forKey: .modDecayOverDepth) ?? false
        modMinimumTokens = try values.decodeIfPresent(Int.self, forKey: .modMinimumTokens) ?? 0
        modSymmetricReweighting = try values.decodeIfPresent(Bool.self, forKey: .modSymmetricReweighting) ?? true
        guard modMinimumTokens >= 0 else {
            throw PMoDConfigError.unsupported(
                key: "mod_minimum_tokens", value: "\(modMinimumTokens)", supported: "0 or more")
        }
        modTargetLayers = try TargetLayers(parsing: values.decode(String.self, forKey: .modTargetLayers))
        modWeightNorm = try WeightNorm(parsing: values.decode(String.self, forKey: .modWeightNorm))
        let type = try values.decodeIfPresent(String.self, forKey: .modTargetTokenType) ?? "vision_all"
        guard let known = TargetTokenType(rawValue: type) else {
            throw PMoDConfigError.unsupported(
                key: "mod_target_token_type", value: type, supported: "vision_all, vision_hr or all")
        }
        modTargetTokenType = known
    }
}

extension PMoDConfig.TargetLayers {
    init(parsing text: String) throws {
        switch text {
        case "deep_all": self = .deepAll
        case "deep_all_include_last": self = .deepAllIncludeLast
        case "interleave": self = .interleave
        default:
            guard let decay = ProgressiveRatioDecay(parsing: text) else {
                throw PMoDConfigError.unsupported(
                    key: "mod_target_layers", value: text,
                    supported: "shiftedcos_decay_MAX_MIN, shiftedlinear_decay_MAX_MIN, deep_all, "
                        + "deep_all_include_last or interleave")
            }
            self = .decay(decay)
        }
    }
}

/// A mixture-of-depths configuration that cannot be computed.
public enum PMoDConfigError: Error, Equatable, CustomStringConvertible {
    /// The key's value is outside what is implemented.
    case unsupported(key: String, value: String, supported: String)

    /// What went wrong, and what to do next.
    public var description: String {
        switch self {
        case .unsupported(let key, let value, let supported):
            "config.json: \(key) is \(value); p-MoD knows \(supported)"
        }
    }
}
