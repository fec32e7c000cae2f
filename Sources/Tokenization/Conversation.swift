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
    /// What the system says instead of the template's own words; nil leaves those, and an empty text is no system message.
    public var system: String?

    /// A conversation of `messages` in `template`.
    public init(template: ConversationTemplate, messages: [Message] = [], system: String? = nil) {
        self.template = template
        self.messages = messages
        self.system = system
    }

    /// Adds a message; a nil text leaves it to be answered.
    public mutating func append(_ role: Role, _ text: String?, carriesImage: Bool = false) {
        messages.append(Message(role: role, text: text, carriesImage: carriesImage))
    }
}
