public import LanguageDecoder
import PMoD
import Tokenization

/// A conversation with a model: what was said, the images that were shown, and the cache of what the decoder has read.
///
/// Each turn feeds the decoder only what is new, as long as the conversation so far reads as it did; when a turn's
/// tokens do not continue those in the cache (an answer that was cut, say), the cache is made anew.
public struct ChatSession: ~Copyable {
    /// The model and its words.
    public let assistant: Assistant
    private var messages: [Conversation.Message] = []
    private var images: [VisualTokens] = []
    private var pending: [VisualTokens] = []
    private var cache: KVCache?
    /// The ids whose keys and values are in the cache, -200 for an image.
    private var cachedIDs: [Int] = []

    /// Tokens of the latest prompt, visual ones included, that the cache held already.
    public private(set) var reusedTokens = 0

    /// A conversation that has not begun.
    public init(_ assistant: Assistant) { self.assistant = assistant }

    /// Whether a mixture of depths would now keep other tokens of those in the cache: it chooses among all it may skip.
    private var choosesAnew: Bool {
        switch assistant.model.config.pmod?.modTargetTokenType {
        case nil: false
        case .all: true
        case .visionAll, .visionHighResolution: !images.isEmpty && !pending.isEmpty
        }
    }

    /// Shows images with the next question.
    public mutating func show(_ images: [VisualTokens]) { pending += images }

    /// Forgets everything.
    public mutating func reset() {
        messages = []
        images = []
        pending = []
        cache = nil
        cachedIDs = []
        reusedTokens = 0
    }

    /// Answers a question.
    /// - Parameters:
    ///   - isCancelled: asked before each token; true ends the answer.
    ///   - show: receives text as it becomes certain.
    /// - Returns: the answer.
    @discardableResult
    public mutating func answer(
        _ question: String, sampling: SamplingOptions, maximumTokens: Int, isCancelled: () -> Bool = { false },
        show: (String) -> Void
    ) throws -> String {
        let conversation = try assistant.conversation(after: messages, asking: question, images: pending.count)
        let ids = try assistant.ids(of: conversation)
        let isContinuation =
            cache != nil && ids.count > cachedIDs.count && ids.starts(with: cachedIDs) && !choosesAnew
        if !isContinuation {
            cache = nil
            cachedIDs = []
        }
        reusedTokens = cache?.nextPosition ?? 0
        let newIDs = Array(ids.dropFirst(cachedIDs.count))
        let known = cachedIDs.count { $0 == MultimodalPrompt.imageToken }
        let prompt = try assistant.model.prompt(newIDs, images: Array((images + pending).dropFirst(known)))
        var generation = try Generation(
            assistant.model.decoder, prompt, sampling: sampling, maximumTokens: maximumTokens,
            endTokens: assistant.endTokens, cache: cache.take())
        var answer = assistant.answerText()
        while !answer.isComplete, !isCancelled(), let token = generation.next() {
            show(answer.append(token))
        }
        show(answer.finish())

        // The last token drawn has not been fed to the decoder, so it is not in the cache.
        cachedIDs = ids + generation.tokens.dropLast()
        cache = generation.takeCache()
        messages = conversation.messages.dropLast()
        messages.append(Conversation.Message(role: .assistant, text: answer.text))
        images += pending
        pending = []
        return answer.text
    }
}
