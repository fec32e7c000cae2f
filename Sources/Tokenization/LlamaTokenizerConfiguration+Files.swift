internal import Bytes
public import Foundation

extension LlamaTokenizerConfiguration {
    /// Reads the settings of the checkpoint in `directory`: `tokenizer_config.json` and, where that does not list the added
    /// tokens itself, `special_tokens_map.json` and `added_tokens.json`. Files that are not there leave the defaults.
    ///
    /// Source: huggingface/transformers v4.36.2, `PreTrainedTokenizerBase._from_pretrained`.
    ///
    /// - Throws: `TokenizationError` when a file is not JSON, holds a wrong value, or names another kind of tokenizer.
    public init(directory: URL) throws(TokenizationError) {
        self.init()
        let config = try ConfigurationFile(directory.appending(path: "tokenizer_config.json"))
        try apply(config)
        guard config?.has("added_tokens_decoder") != true else { return }
        if let map = try ConfigurationFile(directory.appending(path: "special_tokens_map.json")) {
            try applySpecialTokens(map)
        }
        if let added = try ConfigurationFile(directory.appending(path: "added_tokens.json")) {
            try applyAddedTokens(added)
        }
    }

    private mutating func apply(_ config: ConfigurationFile?) throws(TokenizationError) {
        guard let config else { return }
        if let name = try config.string("tokenizer_class"), !["LlamaTokenizer", "LlamaTokenizerFast"].contains(name) {
            throw config.invalid("tokenizer_class", "\(name) is not LlamaTokenizer, the one kind that is read")
        }
        addBosToken = try config.bool("add_bos_token") ?? addBosToken
        addEosToken = try config.bool("add_eos_token") ?? addEosToken
        legacy = try config.bool("legacy") ?? legacy
        // transformers writes 1e30 for "no limit".
        if let length = try config.number("model_max_length"), length >= 1, length < 1e9 {
            modelMaxLength = Int(length)
        }
        if let decoder = try config.object("added_tokens_decoder") {
            for key in decoder.keys {
                guard let id = Int(key), (0..<AddedToken.idLimit).contains(id),
                    let token = try decoder.token(key)?.token
                else {
                    throw config.invalid("added_tokens_decoder", "\"\(key)\" is not an id with a token")
                }
                addedTokens[id] = token
            }
        }
        try applySpecialTokens(config)
    }

    private mutating func applySpecialTokens(_ map: ConfigurationFile) throws(TokenizationError) {
        func token(_ key: String, _ current: AddedToken?) throws(TokenizationError) -> AddedToken? {
            guard map.has(key) else { return current }
            return try map.token(key).map(resolved)
        }
        bosToken = try token("bos_token", bosToken)
        eosToken = try token("eos_token", eosToken)
        unkToken = try token("unk_token", unkToken)
        padToken = try token("pad_token", padToken)
        sepToken = try token("sep_token", sepToken)
        clsToken = try token("cls_token", clsToken)
        maskToken = try token("mask_token", maskToken)
        for token in try map.tokens("additional_special_tokens").map(resolved)
        where !additionalSpecialTokens.contains(token) {
            additionalSpecialTokens.append(token)
        }
    }

    /// A special token: a bare string means the added token of that text, flags included.
    private func resolved(_ written: ConfigurationFile.WrittenToken) -> AddedToken {
        let added = addedTokens.values.first { $0.content.hasSameScalars(written.token.content) }
        var token = written.isBare ? added ?? written.token : written.token
        token.isSpecial = true
        return token
    }

    private mutating func applyAddedTokens(_ added: ConfigurationFile) throws(TokenizationError) {
        for content in added.keys {
            guard let number = try added.number(content), let id = Int(exactly: number),
                (0..<AddedToken.idLimit).contains(id),
                !content.isEmpty
            else { throw added.invalid(content, "its value is not a token id") }
            let isSpecial = specialTokens.contains { $0.content.hasSameScalars(content) }
            addedTokens[id] = AddedToken(content, isSpecial: isSpecial)
        }
    }
}

extension AddedToken {
    /// Ids from outside stay below this, far above any vocabulary, so that arithmetic on them cannot overflow.
    static let idLimit = 1 << 31
}
