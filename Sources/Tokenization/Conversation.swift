/// A conversation in a template, which renders to the prompt text that the model reads.
///
///     var conversation = Conversation(template: choice.template)
///     conversation.append(.user, "<image>\nWhat is this?")
///     conversation.append(.assistant, nil)          // to be answered
///     let prompt = try conversation.prompt()
public struct Conversation: Sendable, Equatable {
    /// Who speaks.
    public enum Role: Sendable, Equatable {
        /// The one who asks.
        case user
        /// The one who answers.
        case assistant
    }

    /// One message of a conversation.
    public struct Message: Sendable, Equatable {
        /// Who speaks.
        public var role: Role
        /// What is said; nil or empty where the answer is still to come.
        public var text: String?
        /// Whether an image comes with the message, as upstream's web page attaches it: in the first message of a
        /// conversation, `<image>` is then taken out of the text and put where the template wants it.
        public var carriesImage: Bool

        /// A message.
        public init(role: Role, text: String?, carriesImage: Bool = false) {
            self.role = role
            self.text = text
            self.carriesImage = carriesImage
        }
    }

    /// How the conversation is written out.
    public let template: ConversationTemplate
    /// The messages so far.
    public var messages: [Message]

    /// A conversation of `messages` in `template`.
    public init(template: ConversationTemplate, messages: [Message] = []) {
        self.template = template
        self.messages = messages
    }

    /// Adds a message; a nil text leaves it to be answered.
    public mutating func append(_ role: Role, _ text: String?, carriesImage: Bool = false) {
        messages.append(Message(role: role, text: text, carriesImage: carriesImage))
    }

    /// The prompt text, exactly as `Conversation.get_prompt` of LLaVA v1.2.2 renders it.
    ///
    /// - Throws: `TokenizationError.unrenderableConversation` where upstream raises: a reply in a `plain` template, which
    ///   has no separator for it, and a `llama2` conversation that does not open with a user's text.
    public func prompt() throws(TokenizationError) -> String {
        let messages = messagesWithImagePlaced
        switch template.style {
        case .single: return named(messages, separators: [template.separator])
        case .two: return named(messages, separators: [template.separator, template.secondSeparator ?? ""])
        case .mpt:
            return messages.reduce(template.system + template.separator) { prompt, message in
                prompt + name(of: message.role) + (message.spoken.map { $0 + template.separator } ?? "")
            }
        case .llama2: return try instructions(messages)
        case .plain:
            var prompt = template.system
            for (index, message) in messages.enumerated() {
                guard let text = message.spoken else { continue }
                guard index % 2 == 0 else {
                    throw unrenderable(index, "it has no separator for replies; it is meant for captions in training")
                }
                prompt += text + template.separator
            }
            return prompt
        }
    }

    /// `Role: text` and a separator after it, the separators in turn; `Role:` for a message still to come.
    private func named(_ messages: [Message], separators: [String]) -> String {
        var prompt = template.system + separators[0]
        for (index, message) in messages.enumerated() {
            prompt += name(of: message.role) + ":"
            if let text = message.spoken { prompt += " " + text + separators[index % separators.count] }
        }
        return prompt
    }

    private func instructions(_ messages: [Message]) throws(TokenizationError) -> String {
        var prompt = ""
        for (index, message) in messages.enumerated() {
            if index == 0, message.role != .user || message.spoken == nil {
                throw unrenderable(0, "the first message must be a text of the user")
            }
            guard var text = message.spoken else { continue }
            if index == 0, !template.system.isEmpty { text = "<<SYS>>\n\(template.system)\n<</SYS>>\n\n\(text)" }
            prompt +=
                index % 2 == 0
                ? "\(template.separator)[INST] \(text) [/INST]" : " \(text) \(template.secondSeparator ?? "")"
        }
        // Upstream strips the separator's characters, not the separator itself, from the front.
        let characters = Set(template.separator.unicodeScalars)
        return prompt.strippedAtStart { characters.contains($0) }
    }

    private var messagesWithImagePlaced: [Message] {
        guard let first = messages.first, first.carriesImage else { return messages }
        let text = (first.text ?? "").replacing(exactly: ImagePrompt.imageToken, with: "").stripped()
        guard template.wrapsImages else {
            return [Message(role: first.role, text: "\(ImagePrompt.imageToken)\n\(text)")] + messages.dropFirst()
        }
        return [
            Message(role: .user, text: "<Image>\(ImagePrompt.imageToken)</Image>"),
            Message(role: .assistant, text: "Received."),
            Message(role: first.role, text: text),
        ] + messages.dropFirst()
    }

    private func name(of role: Role) -> String { role == .user ? template.userRole : template.assistantRole }

    private func unrenderable(_ index: Int, _ problem: String) -> TokenizationError {
        .unrenderableConversation(template: template.name, message: index, problem: problem)
    }
}

extension Conversation.Message {
    /// The text, unless it is absent or empty, which upstream treats alike.
    fileprivate var spoken: String? { text.flatMap { $0.isEmpty ? nil : $0 } }
}
