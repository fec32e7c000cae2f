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
        vocabulary.preTokenizer = try optional("pre", "a string", \.string)
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
    /// A key of ours, written only where it is false: llama.cpp, which knows no other way than the legacy one, passes
    /// over it.
    static let legacyKey = "vlm_legacy"
}

extension PlainVocabulary {
    /// The vocabulary as the metadata of a GGUF file, as `GGUFCheckpoint.vocabulary` and llama.cpp read it.
    public var ggufMetadata: [String: GGUFValue] {
        var values: [String: GGUFValue] = [
            "model": .string(model), "tokens": .array(.string(tokens)),
            "token_type": .array(.int32(types.isEmpty ? tokens.map { _ in 1 } : types.map(Int32.init))),
        ]
        if let preTokenizer { values["pre"] = .string(preTokenizer) }
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
