internal import Bytes
public import Foundation

/// Finds the tokenizer of a checkpoint in Hugging Face's layout.
public enum TokenizerDirectory {
    /// The tokenizer in `directory`: of `tokenizer.model` where there is one, else of `tokenizer.json`.
    ///
    /// - Throws: `TokenizationError.missingTokenizer` when there is neither, and whatever reading them throws.
    public static func tokenizer(in directory: URL) throws(TokenizationError) -> any Tokenizer {
        if isThere("tokenizer.model", in: directory) { return try LlamaTokenizer(directory: directory) }
        return try jsonVocabulary(in: directory).tokenizer()
    }

    /// The vocabulary of that tokenizer as plain values, for writing it into a file of another format.
    ///
    /// - Throws: what `tokenizer(in:)` throws.
    public static func vocabulary(in directory: URL) throws(TokenizationError) -> PlainVocabulary {
        isThere("tokenizer.model", in: directory)
            ? PlainVocabulary(try LlamaTokenizer(directory: directory)) : try jsonVocabulary(in: directory)
    }

    /// Whether `directory` holds a `tokenizer.model` or a `tokenizer.json`.
    public static func holdsTokenizer(_ directory: URL) -> Bool {
        isThere("tokenizer.model", in: directory) || isThere("tokenizer.json", in: directory)
    }

    private static func isThere(_ name: String, in directory: URL) -> Bool {
        FileManager.default.fileExists(atPath: directory.appending(path: name).path(percentEncoded: false))
    }

    private static func jsonVocabulary(in directory: URL) throws(TokenizationError) -> PlainVocabulary {
        guard isThere("tokenizer.json", in: directory) else {
            throw .missingTokenizer(
                directory: directory.path(percentEncoded: false), lookedFor: ["tokenizer.model", "tokenizer.json"],
                hasTokenizerJSON: false)
        }
        var vocabulary = try PlainVocabulary(tokenizerJSON: directory.appending(path: "tokenizer.json"))
        if let config = try ConfigurationFile(directory.appending(path: "tokenizer_config.json")) {
            try vocabulary.apply(config)
        }
        return vocabulary
    }

    /// The Jinja text of the chat template in `directory`, from `chat_template.jinja` or `tokenizer_config.json`; nil when
    /// there is none.
    ///
    /// - Throws: `TokenizationError` when a file cannot be read.
    public static func chatTemplate(in directory: URL) throws(TokenizationError) -> String? {
        let file = directory.appending(path: "chat_template.jinja")
        let path = file.path(percentEncoded: false)
        if FileManager.default.fileExists(atPath: path) {
            do { return try String(contentsOf: file, encoding: .utf8) } catch {
                throw .unreadableFile(file: path, reason: error.localizedDescription)
            }
        }
        return try ConfigurationFile(directory.appending(path: "tokenizer_config.json"))?.string("chat_template")
    }
}

extension PlainVocabulary {
    /// Takes the special tokens that `tokenizer_config.json` names.
    fileprivate mutating func apply(_ config: ConfigurationFile) throws(TokenizationError) {
        var ids = ExactDictionary<Int>()
        for (id, token) in tokens.enumerated() where !token.isEmpty { ids[token] = id }
        func id(_ key: String, _ current: Int?) throws(TokenizationError) -> Int? {
            guard let token = try config.token(key)?.token else { return current }
            guard let id = ids[token.content] else {
                throw config.invalid(key, "\(token.content.debugDescription) is not in tokenizer.json")
            }
            return id
        }
        bosID = try id("bos_token", bosID)
        eosID = try id("eos_token", eosID)
        paddingID = try id("pad_token", paddingID)
        addsBOS = try config.bool("add_bos_token") ?? addsBOS
        addsEOS = try config.bool("add_eos_token") ?? addsEOS
    }
}
