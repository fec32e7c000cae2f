/// How a conversation is written out for a model: system text, role names and separators.
///
/// The values and names are those of LLaVA's `conv_templates`, on which released checkpoints were trained, and a few
/// families of chat models besides, which are recognised by the template that comes with the model.
/// Source: haotian-liu/LLaVA v1.2.2, `llava/conversation.py`; MQT-LLaVA and p-MoD use the same table.
public struct ConversationTemplate: Sendable, Equatable {
    /// How messages are joined.
    public enum SeparatorStyle: String, Sendable, Equatable {
        /// `Role: message` and the first separator after every message.
        case single = "SINGLE"
        /// As `single`, with the two separators in turn.
        case two = "TWO"
        /// ChatML: `role message` with the separator after it, and role names that carry their own markers.
        case mpt = "MPT"
        /// `[INST] message [/INST] reply`, the system text inside the first message.
        case llama2 = "LLAMA_2"
        /// As `mpt`, with white space around messages left out.
        case llama3 = "LLAMA_3"
        /// Messages alone, for captions.
        case plain = "PLAIN"
    }

    /// The name a person chooses the template by.
    public let name: String
    /// What stands before the first message, with its markers; empty for a template without words of its own.
    public let system: String
    /// The name of the one who asks.
    public let userRole: String
    /// The name of the one who answers.
    public let assistantRole: String
    /// How messages are joined.
    public let style: SeparatorStyle
    /// The separator; after user messages where there are two.
    public let separator: String
    /// The separator after replies, in the styles that have one.
    public let secondSeparator: String?
    /// The upstream version string, which decides how training labels are masked.
    public let version: String
    /// The markers in front of another system message.
    public var systemRole = ""
    /// What begins every prompt, a system message or not.
    public var opening = ""

    /// The text that ends a reply, on which generation stops besides the EOS id; nil where the style has none.
    public var stopText: String? {
        switch style {
        case .two, .llama2: secondSeparator
        case .single, .plain: separator.isEmpty ? nil : separator
        case .mpt, .llama3: separator.isEmpty ? nil : separator.strippedAtEnd()  // the line break is not generated
        }
    }

    /// Whether an image stands inside `<Image></Image>` in a message of its own.
    var wrapsImages: Bool { version.contains("mmtag") }

    /// The template called `name`.
    ///
    /// - Throws: `TokenizationError.unknownTemplate`, which lists the known names.
    public static func named(_ name: String) throws(TokenizationError) -> ConversationTemplate {
        guard let template = (all + families).first(where: { $0.name == name }) else {
            throw .unknownTemplate(name: name, known: (all + families).map(\.name))
        }
        return template
    }
}
