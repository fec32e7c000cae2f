/// A vocabulary as plain values, whatever file they stood in: what GGUF keeps under `tokenizer.ggml.*`, key by key.
///
///     var vocabulary = PlainVocabulary(model: "gpt2", tokens: tokens, source: "model.gguf")
///     vocabulary.preTokenizer = "smollm"
///     vocabulary.merges = merges
///     let tokenizer = try vocabulary.tokenizer()
///
/// Source: ggml-org/ggml, `docs/gguf.md`, "Tokenizer".
public struct PlainVocabulary: Sendable, Equatable {
    /// The kind: `gpt2` for byte-level BPE, `llama` for SentencePiece. (`tokenizer.ggml.model`)
    public var model: String
    /// The rule that cuts text before BPE, such as `smollm`; a `llama` vocabulary has none. (`tokenizer.ggml.pre`)
    public var preTokenizer: String?
    /// The tokens in id order. (`tokenizer.ggml.tokens`)
    public var tokens: [String]
    /// The kind of every token, numbered as `SentencePieceModel.Kind`; empty where all are normal.
    /// (`tokenizer.ggml.token_type`)
    public var types: [Int] = []
    /// The score of every token of a `llama` vocabulary. (`tokenizer.ggml.scores`)
    public var scores: [Float] = []
    /// The merges of a `gpt2` vocabulary by rank, each as two tokens with a space between. (`tokenizer.ggml.merges`)
    public var merges: [String] = []
    /// The id that begins a sequence. (`tokenizer.ggml.bos_token_id`)
    public var bosID: Int?
    /// The id that ends a sequence. (`tokenizer.ggml.eos_token_id`)
    public var eosID: Int?
    /// The id that stands for text the vocabulary lacks. (`tokenizer.ggml.unknown_token_id`)
    public var unknownID: Int?
    /// The id that fills up short sequences. (`tokenizer.ggml.padding_token_id`)
    public var paddingID: Int?
    /// Whether the BOS id comes first; nil takes the habit of the kind: yes for `llama` and Llama 3, else no.
    /// (`tokenizer.ggml.add_bos_token`)
    public var addsBOS: Bool?
    /// Whether the EOS id comes last; nil is no. (`tokenizer.ggml.add_eos_token`)
    public var addsEOS: Bool?
    /// Whether a space is put in front of text; nil takes the habit of the kind: yes for `llama`, else no.
    /// (`tokenizer.ggml.add_space_prefix`)
    public var addsSpacePrefix: Bool?
    /// Whether `llama` text after a control token gets a space in front as at the start. GGUF does not say; llama.cpp does
    /// it, and so do tokenizers of Hugging Face with `legacy`, which Vicuna's turns off.
    public var isLegacy = true
    /// Whether a stretch of text that is a token as a whole is taken without merging; nil takes the habit of the
    /// pre-tokeniser: yes for Llama 3, else no.
    public var ignoresMerges: Bool?
    /// Whether text is brought to Unicode's form C first; nil takes the habit of the pre-tokeniser: yes for Qwen 2, which
    /// was trained so (llama.cpp leaves it out), else no.
    public var normalizesText: Bool?
    /// Whether the neighbours of a byte that has no token may merge once it is dropped. Hugging Face's tokenizers let them,
    /// llama.cpp does not; files of either kind are read as their own library reads them.
    public var joinsAcrossMissingBytes = false
    /// How literal tokens take white space beside them, by id; those not named take none.
    public var addedTokens: [Int: AddedToken] = [:]
    /// Where the values come from, for errors.
    public var source: String

    /// More tokens than any vocabulary has.
    static let maximumTokenCount = 1 << 20

    /// A vocabulary of `tokens`; `source` names the file in errors.
    public init(model: String, tokens: [String], source: String) {
        self.model = model
        self.tokens = tokens
        self.source = source
    }

    /// The tokenizer of the vocabulary: a `ByteLevelBPETokenizer` or a `LlamaTokenizer`.
    ///
    /// - Throws: `TokenizationError.unsupportedModel` for another kind of model or pre-tokeniser, and
    ///   `TokenizationError.invalidVocabulary` for values that do not fit together.
    public func tokenizer() throws(TokenizationError) -> any Tokenizer {
        switch model {
        case "gpt2": return try ByteLevelBPETokenizer(self)
        case "llama": return try LlamaTokenizer(self)
        default:
            throw .unsupportedModel(
                file: source, field: "the tokenizer's model", found: model.debugDescription,
                supported: "gpt2 (byte-level BPE), llama (SentencePiece BPE)")
        }
    }

    /// The kinds of all tokens, checked; the ids with a part of their own must be tokens.
    func checkedKinds() throws(TokenizationError) -> [SentencePieceModel.Kind] {
        guard !tokens.isEmpty, tokens.count <= Self.maximumTokenCount else {
            throw invalid("it has \(tokens.count) tokens, where 1 to \(Self.maximumTokenCount) can be")
        }
        guard types.isEmpty || types.count == tokens.count else {
            throw invalid("it has \(tokens.count) tokens but \(types.count) token types")
        }
        for (name, id) in [("BOS", bosID), ("EOS", eosID), ("unknown", unknownID), ("padding", paddingID)] {
            guard let id, !tokens.indices.contains(id) else { continue }
            throw invalid("the \(name) id \(id) is not one of its \(tokens.count) tokens")
        }
        var kinds = Array(repeating: SentencePieceModel.Kind.normal, count: tokens.count)
        for (id, type) in types.enumerated() {
            guard let kind = SentencePieceModel.Kind(rawValue: type) else {
                throw invalid("token \(id) has the type \(type), where 1 to 6 can be")
            }
            kinds[id] = kind
        }
        return kinds
    }

    func invalid(_ problem: String) -> TokenizationError { .invalidVocabulary(file: source, problem: problem) }
}
