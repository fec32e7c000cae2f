internal import Bytes
public import Foundation

extension PlainVocabulary {
    /// Larger than any `tokenizer.json`; Llama 3's has 17 MB.
    private static let maximumFileBytes = 1 << 28

    /// Reads the vocabulary of the Hugging Face `tokenizer.json` at `url`: byte-level BPE of GPT-2, SmolLM, Llama 3 or
    /// Qwen 2, recognised by the steps that the file lists.
    ///
    /// The file says which tokens are special but not which of them begins or ends a sequence; where a template puts one
    /// at the front or the end, that is taken.
    /// - Throws: `TokenizationError` when the file cannot be read, is damaged, or is of another kind.
    public init(tokenizerJSON url: URL) throws(TokenizationError) {
        let file = url.path(percentEncoded: false)
        let data: Data
        do {
            let bytes = try url.resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0
            guard bytes <= Self.maximumFileBytes else {
                throw TokenizationError.unreadableFile(file: file, reason: "it has \(bytes) bytes")
            }
            data = try Data(contentsOf: url)
        } catch {
            throw error as? TokenizationError
                ?? .unreadableFile(file: file, reason: error.localizedDescription)
        }
        try self.init(tokenizerJSON: data, file: file)
    }

    /// Reads the vocabulary of a `tokenizer.json` from its bytes; `file` names it in errors.
    ///
    /// - Throws: As `init(tokenizerJSON:)`.
    public init(tokenizerJSON data: Data, file: String) throws(TokenizationError) {
        let json = try TokenizerJSON(ConfigurationFile([UInt8](data), file: file))
        let pipeline = try json.pipeline(file: file)
        self.init(model: "gpt2", tokens: [], source: file)
        preTokenizer = pipeline.preTokenizer.rawValue
        addsSpacePrefix = pipeline.addsSpacePrefix
        normalizesText = pipeline.normalizesText
        joinsAcrossMissingBytes = true
        ignoresMerges = json.model.ignore_merges
        merges = json.model.merges
        try takeTokens(of: json)
        let ids = ExactDictionary(json.added_tokens.map { ($0.token.content, $0.id) })
        bosID = json.firstSpecialToken.flatMap { ids[$0] }
        eosID = json.lastSpecialToken.flatMap { ids[$0] }
        addsBOS = bosID != nil
        addsEOS = eosID != nil
        try takeUnknownToken(of: json, ids)
    }

    /// Takes the unknown token; bytes that have none of their own would become it, which is not done here.
    private mutating func takeUnknownToken(
        of json: TokenizerJSON, _ ids: ExactDictionary<Int>
    ) throws(TokenizationError) {
        guard let unknown = json.model.unk_token, !unknown.isEmpty else { return }
        unknownID = ids[unknown] ?? json.model.vocab[unknown]
        guard unknownID != nil else {
            throw invalid("its unknown token \(unknown.debugDescription) is not in the vocabulary")
        }
        let missing = ByteAlphabet.scalars.count { json.model.vocab[String(Character($0))] == nil }
        guard missing == 0 else {
            throw .unsupportedModel(
                file: source, field: "model.unk_token",
                found: "\(unknown.debugDescription) while \(missing) bytes have no token", supported: "null")
        }
    }

    private mutating func takeTokens(of json: TokenizerJSON) throws(TokenizationError) {
        let added = json.added_tokens
        let highest = max(json.model.vocab.values.max() ?? -1, added.map(\.id).max() ?? -1)
        let lowest = min(json.model.vocab.values.min() ?? 0, added.map(\.id).min() ?? 0)
        guard lowest >= 0, highest < Self.maximumTokenCount else {
            throw invalid("it has the ids \(lowest) to \(highest), where 0 to \(Self.maximumTokenCount - 1) can be")
        }
        // An id that no token has decodes to nothing.
        tokens = Array(repeating: "", count: highest + 1)
        types = Array(repeating: SentencePieceModel.Kind.unused.rawValue, count: highest + 1)
        for (text, id) in json.model.vocab {
            guard types[id] == SentencePieceModel.Kind.unused.rawValue else {
                throw invalid("the id \(id) belongs to two tokens, one of them \(text.debugDescription)")
            }
            tokens[id] = text
            types[id] = SentencePieceModel.Kind.normal.rawValue
        }
        for (id, token) in added.map({ ($0.id, $0.token) }) {
            guard !token.content.isEmpty else { throw invalid("the added token \(id) is empty") }
            guard !token.isSingleWord else {
                throw .unsupportedModel(
                    file: source, field: "added_tokens", found: "single_word for \(token.content.debugDescription)",
                    supported: "added tokens that count inside words too")
            }
            let kind: SentencePieceModel.Kind = token.isSpecial ? .control : .userDefined
            tokens[id] = token.content
            types[id] = kind.rawValue
            addedTokens[id] = token
        }
    }
}
