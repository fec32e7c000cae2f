/// A literal string that the tokenizer cuts out of the text before SentencePiece sees it, with one id of its own.
///
/// Source: huggingface/tokenizers, `AddedToken`; `normalized` has no effect on a slow LLaMA tokenizer and is not kept.
public struct AddedToken: Sendable, Equatable {
    /// The string as it stands in the text.
    public var content: String
    /// Whether the token takes the white space on its left with it.
    public var stripsLeft: Bool
    /// Whether the token takes the white space on its right with it.
    public var stripsRight: Bool
    /// Whether the token counts only where a space or an end of the text is beside it.
    public var isSingleWord: Bool
    /// Whether the token is a control token rather than text.
    public var isSpecial: Bool

    /// An added token; by default it strips nothing.
    public init(
        _ content: String, stripsLeft: Bool = false, stripsRight: Bool = false, isSingleWord: Bool = false,
        isSpecial: Bool = true
    ) {
        self.content = content
        self.stripsLeft = stripsLeft
        self.stripsRight = stripsRight
        self.isSingleWord = isSingleWord
        self.isSpecial = isSpecial
    }
}
