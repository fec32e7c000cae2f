/// Turns text into a model's token ids and back, whatever kind of vocabulary the model has.
public protocol Tokenizer: Sendable {
    /// The number of ids, from 0 to the highest known one.
    var vocabularySize: Int { get }
    /// The id that begins a sequence, if there is one.
    var bosID: Int? { get }
    /// The id that ends a sequence, if there is one.
    var eosID: Int? { get }
    /// Whether encoding puts `bosID` in front unless told otherwise.
    var addsBOS: Bool { get }
    /// The ids that decoding skips unless asked not to.
    var specialIDs: Set<Int> { get }
    /// A line about the tokenizer for a person to read.
    var summary: String { get }

    /// The ids of a prompt, with BOS and EOS as the tokenizer's settings say unless told otherwise. Control tokens count
    /// in the template's text and are plain text elsewhere.
    func encode(_ prompt: PromptText, addingSpecialTokens: Bool) -> [Int]

    /// The id of the control token that is written as `text`; nil when there is none.
    func controlID(of text: String) -> Int?

    /// A decoder that takes ids one at a time, for showing an answer while it is made.
    func streamDecoder(skippingSpecialTokens: Bool) -> StreamDecoder
}

extension Tokenizer {
    /// The ids of a prompt, with BOS and EOS as the tokenizer's settings say.
    public func encode(_ prompt: PromptText) -> [Int] { encode(prompt, addingSpecialTokens: true) }

    /// The ids of `text`, in which control tokens count, with BOS and EOS as the tokenizer's settings say unless told
    /// otherwise.
    public func encode(_ text: String, addingSpecialTokens: Bool = true) -> [Int] {
        encode(PromptText(template: text), addingSpecialTokens: addingSpecialTokens)
    }

    /// A decoder that takes ids one at a time and skips special ones.
    public func streamDecoder() -> StreamDecoder { streamDecoder(skippingSpecialTokens: true) }

    /// The text of `ids`; special ones are left out unless told otherwise.
    ///
    /// - Throws: `TokenizationError.unknownID` for an id outside the vocabulary.
    public func decode(
        _ ids: some Sequence<Int>, skippingSpecialTokens: Bool = true
    ) throws(TokenizationError) -> String {
        var decoder = streamDecoder(skippingSpecialTokens: skippingSpecialTokens)
        var text = ""
        for id in ids { text += try decoder.append(id) }
        return text + decoder.finish()
    }
}
