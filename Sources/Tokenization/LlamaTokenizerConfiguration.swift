/// The settings of a LLaMA tokenizer: what Hugging Face keeps in `tokenizer_config.json` and its neighbours.
public struct LlamaTokenizerConfiguration: Sendable, Equatable {
    /// Whether the beginning-of-sequence id comes first.
    public var addBosToken = true
    /// Whether the end-of-sequence id comes last.
    public var addEosToken = false
    /// Whether text after a special token gets a leading space of its own, as transformers once did always; files that do
    /// not say are read so.
    public var legacy = true
    /// The token that begins a sequence.
    public var bosToken: AddedToken? = AddedToken("<s>")
    /// The token that ends a sequence.
    public var eosToken: AddedToken? = AddedToken("</s>")
    /// The token that stands for text the vocabulary lacks.
    public var unkToken: AddedToken? = AddedToken("<unk>")
    /// The token that fills up short sequences.
    public var padToken: AddedToken?
    /// The token between sentences, which a LLaMA tokenizer seldom has.
    public var sepToken: AddedToken?
    /// The token for a whole sequence, which a LLaMA tokenizer seldom has.
    public var clsToken: AddedToken?
    /// The token for a hidden word, which a LLaMA tokenizer seldom has.
    public var maskToken: AddedToken?
    /// Further special tokens.
    public var additionalSpecialTokens: [AddedToken] = []
    /// Added tokens whose ids the files give.
    public var addedTokens: [Int: AddedToken] = [:]
    /// The longest sequence the model takes; nil when the files do not say.
    public var modelMaxLength: Int?

    /// The settings of a tokenizer that has no configuration file.
    public init() {}

    /// The special tokens in the order in which those without an id receive one.
    public var specialTokens: [AddedToken] {
        [bosToken, eosToken, unkToken, sepToken, padToken, clsToken, maskToken].compactMap { $0 }
            + additionalSpecialTokens
    }
}
