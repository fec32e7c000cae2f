import Foundation
import LanguageDecoder
import ModelFiles
public import Tokenization

/// A model together with the words it speaks: its tokenizer and its conversation template.
public struct Assistant: Sendable {
    /// The model.
    public let model: LLaVAModel
    /// Between text and token ids.
    public let tokenizer: any Tokenizer
    /// How conversations are written out, and why so.
    public let template: ConversationTemplate.Choice

    /// An assistant for a loaded model with the tokenizer of its checkpoint.
    ///
    /// The template is the one asked for, or the one that config.json names; for a checkpoint of LLaVA's original code
    /// upstream's rule about its name decides, for others the chat template they bring along.
    /// - Parameter templateName: a template's name; nil to choose.
    /// - Throws: `TokenizationError` if the tokenizer or the template is missing, damaged or of an unknown kind;
    ///   `LLaVAError.missingChatTemplate` if nothing says which template is right.
    public init(_ model: LLaVAModel, templateName: String? = nil) throws {
        let words = try TokenizerFiles(model.tokenizerLocation)
        try self.init(model, tokenizer: words.tokenizer, template: Self.template(model, words, named: templateName))
    }

    private static func template(
        _ model: LLaVAModel, _ words: TokenizerFiles, named name: String?
    ) throws -> ConversationTemplate.Choice {
        if name == nil, let configured = model.config.conversationTemplate {
            return ConversationTemplate.Choice(
                template: try .named(configured), reason: "config.json names it (conversation_template)")
        }
        if case .llava = model.layout {
            return try ConversationTemplate.choose(
                named: name, modelName: URL(filePath: model.path).standardizedFileURL.lastPathComponent)
        }
        if name == nil, words.chatTemplate == nil { throw LLaVAError.missingChatTemplate(checkpoint: model.path) }
        return try ConversationTemplate.choose(named: name, chatTemplate: words.chatTemplate ?? "")
    }

    /// An assistant for a loaded model with a tokenizer and a template from elsewhere.
    /// - Throws: `LLaVAError.malformed` if the tokenizer has more tokens than the decoder.
    public init(
        _ model: LLaVAModel, tokenizer: any Tokenizer, template: ConversationTemplate.Choice
    ) throws {
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        guard tokenizer.vocabularySize <= model.config.llama.vocabSize else {
            throw LLaVAError.malformed(
                path: model.path,
                reason: "the tokenizer has \(tokenizer.vocabularySize) tokens, the decoder "
                    + "\(model.config.llama.vocabSize); does the tokenizer belong to these weights?")
        }
    }

    /// Ids that end an answer.
    public var endTokens: Set<Int> {
        let stop = template.template.stopText.flatMap { tokenizer.controlID(of: $0) }
        return model.config.eosTokenIds.union([tokenizer.eosID, stop].compactMap { $0 })
    }

    /// A conversation that ends with a question about some images.
    /// - Parameters:
    ///   - history: questions and answers before.
    ///   - images: how many images come with this question; their marks are put in front of it unless it has them.
    /// - Throws: `LLaVAError.emptyPrompt` for a question without words.
    public func conversation(
        after history: [Conversation.Message] = [], asking question: String, images: Int
    ) throws -> Conversation {
        let words = question.replacingOccurrences(of: ImagePrompt.imageToken, with: "")
        guard !words.allSatisfy(\.isWhitespace) else { throw LLaVAError.emptyPrompt }
        let marks = question.components(separatedBy: ImagePrompt.imageToken).count - 1
        guard marks == 0 || marks == images else { throw LLaVAError.imageCount(placeholders: marks, images: images) }
        let prefix = marks == 0 ? String(repeating: ImagePrompt.imageToken + "\n", count: images) : ""
        var conversation = Conversation(template: template.template, messages: history)
        conversation.append(.user, prefix + question)
        conversation.append(.assistant, nil)
        return conversation
    }

    /// The token ids of a conversation, -200 for each image; what was said in it never becomes a control token.
    public func ids(of conversation: Conversation) throws -> [Int] {
        ImagePrompt(try conversation.promptText(), tokenizer: tokenizer).ids
    }

    /// A decoder of the tokens of one answer.
    public func answerText() -> AnswerText {
        AnswerText(tokenizer.streamDecoder(), stopText: template.template.stopText)
    }
}

/// Turns the tokens of one answer into text as they come, up to the template's stop text.
///
/// White space around the answer is left out, as the published code strips it.
public struct AnswerText: Sendable {
    private var decoder: StreamDecoder
    private let stopText: String?
    /// Text that may still turn out to be white space at the end or the beginning of the stop text.
    private var held = ""
    private var hasBegun = false

    /// The answer so far.
    public private(set) var text = ""
    /// Whether the stop text was met, so that no further token belongs to the answer.
    public private(set) var isComplete = false

    init(_ decoder: StreamDecoder, stopText: String?) {
        self.decoder = decoder
        self.stopText = stopText
    }

    /// Takes the next token and returns the text that is certain by now.
    public mutating func append(_ token: Int) -> String {
        guard !isComplete else { return "" }
        // A decoder whose vocabulary was padded may draw a token that the tokenizer does not have: it has no text.
        held += (try? decoder.append(token)) ?? ""
        return release(isEnd: false)
    }

    /// Ends the answer and returns what was still held back.
    public mutating func finish() -> String {
        guard !isComplete else { return "" }
        held += decoder.finish()
        return release(isEnd: true)
    }

    private mutating func release(isEnd: Bool) -> String {
        if let stopText, let range = held.range(of: stopText) {
            held = String(held[..<range.lowerBound])
            isComplete = true
        }
        if !hasBegun { held = String(held.drop(while: \.isWhitespace)) }
        let isLast = isEnd || isComplete
        var certain = held[...]
        if !isLast, let stopText {
            certain = certain.dropLast(Self.overlap(of: held, with: stopText))
        }
        while certain.last?.isWhitespace == true { certain = certain.dropLast() }
        held = isLast ? "" : String(held[certain.endIndex...])
        if !certain.isEmpty { hasBegun = true }
        text += certain
        return String(certain)
    }

    /// Length of the longest end of `text` that begins `stopText`.
    private static func overlap(of text: String, with stopText: String) -> Int {
        (1..<max(1, stopText.count)).reversed().first { text.hasSuffix(stopText.prefix($0)) } ?? 0
    }
}
