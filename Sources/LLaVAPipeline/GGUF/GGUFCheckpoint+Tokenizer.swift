public import ModelFiles
public import Tokenization

extension GGUFCheckpoint {
    /// The Jinja text by which the model's conversations are rendered; nil if the file has none.
    public var chatTemplate: String? { file.metadata["tokenizer.chat_template"]?.string }

    /// The vocabulary that the file holds under `tokenizer.ggml.*`.
    /// - Throws: `CheckpointError.unexpectedValue` for a key that is missing or of another type.
    public func vocabulary() throws -> PlainVocabulary {
        var vocabulary = PlainVocabulary(
            model: try required("model", "a string", \.string),
            tokens: try required("tokens", "an array of strings", \.strings), source: file.path)
        (vocabulary.preTokenizer, vocabulary.ignoresMerges) = MergeRule.read(try optional("pre", "a string", \.string))
        vocabulary.types = try optional("token_type", "an array of integers", \.integers) ?? []
        vocabulary.scores = try optional("scores", "an array of float32", \.floats) ?? []
        vocabulary.merges = try optional("merges", "an array of strings", \.strings) ?? []
        vocabulary.bosID = try optional("bos_token_id", "an integer", \.integer)
        vocabulary.eosID = try optional("eos_token_id", "an integer", \.integer)
        vocabulary.unknownID = try optional("unknown_token_id", "an integer", \.integer)
        vocabulary.paddingID = try optional("padding_token_id", "an integer", \.integer)
        vocabulary.addsBOS = try optional("add_bos_token", "a Boolean", \.bool)
        vocabulary.addsEOS = try optional("add_eos_token", "a Boolean", \.bool)
        vocabulary.addsSpacePrefix = try optional("add_space_prefix", "a Boolean", \.bool)
        vocabulary.isLegacy = try optional(Self.legacyKey, "a Boolean", \.bool) ?? true
        vocabulary.normalizesText = try optional(Self.normalizingKey, "a Boolean", \.bool)
        vocabulary.joinsAcrossMissingBytes = try optional(Self.joiningKey, "a Boolean", \.bool) ?? false
        for (key, side) in [(Self.strippingLeftKey, \AddedToken.stripsLeft), (Self.strippingRightKey, \.stripsRight)] {
            for id in try optional(key, "an array of integers", \.integers) ?? [] {
                guard vocabulary.tokens.indices.contains(id) else {
                    throw CheckpointError.unexpectedValue(
                        file: file.path, key: Self.vocabularyPrefix + key,
                        expected: "ids of its \(vocabulary.tokens.count) tokens", got: "\(id)")
                }
                vocabulary.addedTokens[id, default: AddedToken(vocabulary.tokens[id])][keyPath: side] = true
            }
        }
        return vocabulary
    }

    private func optional<Value>(_ key: String, _ expected: String, _ read: (GGUFValue) -> Value?) throws -> Value? {
        let key = Self.vocabularyPrefix + key
        return file.metadata[key] == nil ? nil : try Self.value(key, in: file, expected, read)
    }

    private func required<Value>(_ key: String, _ expected: String, _ read: (GGUFValue) -> Value?) throws -> Value {
        try Self.value(Self.vocabularyPrefix + key, in: file, expected, read)
    }

    static let vocabularyPrefix = "tokenizer.ggml."
    // Keys of ours, which llama.cpp passes over, written only where they do not say what it does anyway.

    /// False where text after a control token gets no space in front.
    static let legacyKey = "vlm_legacy"
    /// Whether text is brought to Unicode's form C.
    static let normalizingKey = "vlm_normalizes_text"
    /// True where the neighbours of a byte without a token may merge.
    static let joiningKey = "vlm_joins_across_missing_bytes"
    /// The tokens that take the white space on their left with them.
    static let strippingLeftKey = "vlm_strips_left"
    /// Those that take it on their right.
    static let strippingRightKey = "vlm_strips_right"
}

/// Whether words that are tokens are merged like others, where that is not the habit of the pre-tokeniser.
///
/// llama.cpp knows the habits alone. So that it refuses such a file rather than to cut words into other tokens, the rule
/// stands in the pre-tokeniser's name: `vlm-words-gpt-2`.
enum MergeRule {
    private static let (words, merges) = ("vlm-words-", "vlm-merges-")

    /// The pre-tokeniser and the rule behind a name in a file; nil for the habit.
    static func read(_ name: String?) -> (preTokenizer: String?, ignoresMerges: Bool?) {
        guard let name else { return (nil, nil) }
        if name.hasPrefix(words) { return (String(name.dropFirst(words.count)), true) }
        if name.hasPrefix(merges) { return (String(name.dropFirst(merges.count)), false) }
        return (name, nil)
    }

    /// The name in a file.
    static func name(_ preTokenizer: String, ignoresMerges: Bool?) -> String {
        let habit = PreTokenizer(name: preTokenizer) == .llama3
        guard let ignoresMerges, ignoresMerges != habit else { return preTokenizer }
        return (ignoresMerges ? words : merges) + preTokenizer
    }

    /// Whether a name is one that llama.cpp does not know.
    static func isOurs(_ name: String) -> Bool { name.hasPrefix(words) || name.hasPrefix(merges) }
}

extension PlainVocabulary {
    /// The vocabulary as the metadata of a GGUF file, as `GGUFCheckpoint.vocabulary` and llama.cpp read it.
    public var ggufMetadata: [String: GGUFValue] {
        var values: [String: GGUFValue] = [
            "model": .string(model), "tokens": .array(.string(tokens)),
            "token_type": .array(.int32(types.isEmpty ? tokens.map { _ in 1 } : types.map(Int32.init))),
        ]
        if let preTokenizer {
            values["pre"] = .string(MergeRule.name(preTokenizer, ignoresMerges: ignoresMerges))
            let habit = PreTokenizer(name: preTokenizer) == .qwen2
            if let normalizesText, normalizesText != habit {
                values[GGUFCheckpoint.normalizingKey] = .bool(normalizesText)
            }
        }
        if joinsAcrossMissingBytes { values[GGUFCheckpoint.joiningKey] = .bool(true) }
        for (key, side) in [
            (GGUFCheckpoint.strippingLeftKey, \AddedToken.stripsLeft),
            (GGUFCheckpoint.strippingRightKey, \.stripsRight),
        ] {
            let ids = addedTokens.filter { $0.value[keyPath: side] }.keys.sorted()
            if !ids.isEmpty { values[key] = .array(.int32(ids.map(Int32.init))) }
        }
        if !scores.isEmpty { values["scores"] = .array(.float32(scores)) }
        if !merges.isEmpty { values["merges"] = .array(.string(merges)) }
        for (key, id) in [
            ("bos_token_id", bosID), ("eos_token_id", eosID), ("unknown_token_id", unknownID),
            ("padding_token_id", paddingID),
        ] {
            if let id { values[key] = .uint32(UInt32(id)) }
        }
        for (key, flag) in [
            ("add_bos_token", addsBOS), ("add_eos_token", addsEOS), ("add_space_prefix", addsSpacePrefix),
        ] {
            if let flag { values[key] = .bool(flag) }
        }
        if model == "llama", !isLegacy { values[GGUFCheckpoint.legacyKey] = .bool(false) }
        return Dictionary(uniqueKeysWithValues: values.map { (GGUFCheckpoint.vocabularyPrefix + $0.key, $0.value) })
    }
}
