public import Foundation

/// The slow `LlamaTokenizer` of Hugging Face on top of SentencePiece: special tokens are cut out of the text first, and a
/// sequence begins with BOS.
///
/// Encoding gives the ids of transformers 4.36.2. Decoding differs from it where transformers does not give back the text
/// that was encoded: it loses or adds spaces beside added tokens, and with `legacy` it loses one space more at the start.
/// Source: huggingface/transformers v4.36.2, `tokenization_llama.py` and `tokenization_utils.py`.
public struct LlamaTokenizer: Tokenizer {
    /// The tokenizer for the text between special tokens.
    public let sentencePiece: SentencePieceTokenizer
    /// The settings, with the ids of all added tokens filled in.
    public let configuration: LlamaTokenizerConfiguration
    /// The id that begins a sequence.
    public let bosID: Int?
    /// The id that ends a sequence.
    public let eosID: Int?
    /// The id that stands for text the vocabulary lacks.
    public let unkID: Int?
    /// The id that fills up short sequences.
    public let padID: Int?
    /// The ids that decoding skips unless asked not to.
    public let specialIDs: Set<Int>

    let addedTokens: AddedTokenSplitter
    /// Ids of the unknown token's own text, which `legacy == false` puts in front and takes away again.
    private let unknownPrefixCount: Int

    /// Loads `tokenizer.model` and the settings beside it from the directory of a checkpoint.
    ///
    /// - Throws: `TokenizationError.missingTokenizer` when there is no `tokenizer.model`, and whatever reading it throws.
    public init(directory: URL) throws(TokenizationError) {
        let model = directory.appending(path: "tokenizer.model")
        let manager = FileManager.default
        guard manager.fileExists(atPath: model.path(percentEncoded: false)) else {
            let json = directory.appending(path: "tokenizer.json").path(percentEncoded: false)
            throw .missingTokenizer(
                directory: directory.path(percentEncoded: false), lookedFor: ["tokenizer.model"],
                hasTokenizerJSON: manager.fileExists(atPath: json))
        }
        try self.init(
            SentencePieceTokenizer(SentencePieceModel(contentsOf: model)),
            configuration: LlamaTokenizerConfiguration(directory: directory))
    }

    /// A tokenizer of an already loaded model.
    ///
    /// Special tokens that neither the vocabulary nor `configuration` knows receive the next free ids.
    public init(_ sentencePiece: SentencePieceTokenizer, configuration: LlamaTokenizerConfiguration) {
        self.sentencePiece = sentencePiece
        var configuration = configuration
        var ids = ExactDictionary<Int>()
        for (id, token) in configuration.addedTokens.sorted(by: { $0.key < $1.key }) { ids[token.content] = id }
        var next = sentencePiece.vocabularySize
        next += configuration.addedTokens.keys.count { $0 >= sentencePiece.vocabularySize }
        for token in configuration.specialTokens {
            let bytes = Array(token.content.utf8)
            let known = ids[token.content] ?? sentencePiece.vocabulary.id(of: bytes, 0..<bytes.count)
            let id = known ?? next
            if known == nil { next += 1 }
            ids[token.content] = id
            configuration.addedTokens[id] = token
        }
        func id(_ token: AddedToken?) -> Int? { token.flatMap { ids[$0.content] } }
        bosID = id(configuration.bosToken)
        eosID = id(configuration.eosToken)
        unkID = id(configuration.unkToken)
        padID = id(configuration.padToken)
        specialIDs = Set(configuration.specialTokens.compactMap { id($0) })
        addedTokens = AddedTokenSplitter(configuration.addedTokens)
        let unknown = configuration.unkToken?.content ?? ""
        unknownPrefixCount = sentencePiece.encode(unknown, addingDummyPrefix: false).count
        self.configuration = configuration
    }

    /// The number of ids, from 0 to the highest known one.
    public var vocabularySize: Int {
        max(sentencePiece.vocabularySize, (configuration.addedTokens.keys.max() ?? -1) + 1)
    }

    /// Whether encoding puts `bosID` in front unless told otherwise.
    public var addsBOS: Bool { configuration.addBosToken && bosID != nil }

    /// A line about the tokenizer for a person to read.
    public var summary: String { "SentencePiece, \(vocabularySize) tokens, legacy \(configuration.legacy)" }

    /// The ids of a prompt, with BOS and EOS as the settings say unless told otherwise. Added tokens are cut out of the
    /// template's text only.
    public func encode(_ prompt: PromptText, addingSpecialTokens: Bool = true) -> [Int] {
        let ids = configuration.legacy || prompt.isEmpty ? legacyIDs(of: prompt) : currentIDs(of: prompt)
        guard addingSpecialTokens else { return ids }
        return (configuration.addBosToken ? [bosID].compactMap { $0 } : []) + ids
            + (configuration.addEosToken ? [eosID].compactMap { $0 } : [])
    }

    /// The id of the special token that is written as `text`; nil when there is none.
    public func controlID(of text: String) -> Int? {
        configuration.addedTokens.first { specialIDs.contains($0.key) && $0.value.content.hasSameScalars(text) }?.key
    }

    /// A decoder that takes ids one at a time, for showing an answer while it is made.
    public func streamDecoder(skippingSpecialTokens: Bool = true) -> StreamDecoder {
        StreamDecoder(surfaces(skippingSpecialTokens: skippingSpecialTokens))
    }

    /// Every segment between special tokens as a text of its own, with its own leading space.
    private func legacyIDs(of prompt: PromptText) -> [Int] {
        addedTokens.split(prompt).flatMap { part in
            switch part {
            case .token(let id): [id]
            case .text(let text): sentencePiece.encode(text)
            }
        }
    }

    /// One leading space for the whole text; segments after special tokens stand as they are.
    private func currentIDs(of prompt: PromptText) -> [Int] {
        var prefixed = PromptText(template: "\u{2581}")
        prompt.map { $0.replacingScalar("\u{2581}", with: " ") }.parts.forEach { prefixed.append($0) }
        let parts = addedTokens.split(prefixed)
        if case .text("\u{2581}") = parts.first, parts.count > 1, case .token(let id) = parts[1],
            specialIDs.contains(id)
        {
            return parts.dropFirst().flatMap(currentIDs)
        }
        return parts.flatMap(currentIDs)
    }

    private func currentIDs(of part: AddedTokenSplitter.Part) -> [Int] {
        switch part {
        case .token(let id): return [id]
        case .text(let text):
            guard let first = text.unicodeScalars.first, first == "\u{2581}" || first == " " else {
                return sentencePiece.encode(text, addingDummyPrefix: false)
            }
            // The unknown token's text in front keeps the leading space, as upstream does it.
            let unknown = configuration.unkToken?.content ?? ""
            let ids = sentencePiece.encode(unknown + text, addingDummyPrefix: false)
            return ids.count >= unknownPrefixCount ? Array(ids.dropFirst(unknownPrefixCount)) : ids
        }
    }

    private func surfaces(skippingSpecialTokens: Bool) -> SurfaceTable {
        var table = sentencePiece.surfaces
        table.stripsAfterLiteral = configuration.legacy && sentencePiece.model.addDummyPrefix
        for (id, token) in configuration.addedTokens {
            table.overrides[id] =
                skippingSpecialTokens && specialIDs.contains(id) ? .hidden : .literal(token.content)
        }
        return table
    }
}
