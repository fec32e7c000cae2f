extension Conversation {
    /// The prompt as one string: for LLaVA's templates exactly what `Conversation.get_prompt` of LLaVA v1.2.2 renders.
    ///
    /// - Throws: As `promptText()`.
    public func prompt() throws(TokenizationError) -> String { try promptText().string }

    /// The prompt, in which the template's text is told from what was said.
    ///
    /// - Throws: `TokenizationError.unrenderableConversation` where upstream raises: a reply in a `plain` template, which
    ///   has no separator for it, and a `llama2` conversation that does not open with a user's text.
    public func promptText() throws(TokenizationError) -> PromptText {
        let messages = messagesWithImagePlaced
        switch template.style {
        case .single: return named(messages, separators: [template.separator])
        case .two: return named(messages, separators: [template.separator, template.secondSeparator ?? ""])
        case .mpt: return marked(messages, trimmed: false)
        case .llama3: return marked(messages, trimmed: true)
        case .llama2: return try instructions(messages)
        case .plain: return try captions(messages)
        }
    }

    /// The system text alone: the template's, or what stands in for it.
    private var systemText: PromptText {
        guard let system else { return PromptText(template: template.system) }
        var text = PromptText()
        guard !system.isEmpty else { return text }
        text.append(template: template.systemRole)
        text.append(quoting: template.style == .llama3 ? system.stripped() : system)
        return text
    }

    /// The system text and a separator; neither where somebody wants no system message.
    private func opening(_ separator: String) -> PromptText {
        var prompt = PromptText(template: template.opening)
        let text = systemText
        if text.isEmpty, system != nil { return prompt }
        text.parts.forEach { prompt.append($0) }
        prompt.append(template: separator)
        return prompt
    }

    /// `Role: text` and a separator after it, the separators in turn; `Role:` for a message still to come.
    private func named(_ messages: [Message], separators: [String]) -> PromptText {
        var prompt = opening(separators[0])
        for (index, message) in messages.enumerated() {
            prompt.append(template: name(of: message.role) + ":")
            guard let text = message.spoken else { continue }
            prompt.append(template: " ")
            prompt.append(quoting: text)
            prompt.append(template: separators[index % separators.count])
        }
        return prompt
    }

    /// Role names that carry their own markers, the text and a separator.
    private func marked(_ messages: [Message], trimmed: Bool) -> PromptText {
        let hasSystem = !systemText.isEmpty
        var prompt = hasSystem ? opening(template.separator) : PromptText(template: template.opening)
        for message in messages {
            prompt.append(template: name(of: message.role))
            guard let text = message.spoken else { continue }
            prompt.append(quoting: trimmed ? text.stripped() : text)
            prompt.append(template: template.separator)
        }
        return prompt
    }

    /// `[INST] text [/INST] reply`, the system text in the first message.
    private func instructions(_ messages: [Message]) throws(TokenizationError) -> PromptText {
        var prompt = PromptText(template: template.opening)
        for (index, message) in messages.enumerated() {
            if index == 0, message.role != .user || message.spoken == nil {
                throw unrenderable(0, "the first message must be a text of the user")
            }
            guard let text = message.spoken else { continue }
            let isUser = index % 2 == 0
            prompt.append(template: isUser ? "\(template.separator)[INST] " : " ")
            let system = systemText
            if index == 0, !system.isEmpty {
                prompt.append(template: "<<SYS>>\n")
                system.parts.forEach { prompt.append($0) }
                prompt.append(template: "\n<</SYS>>\n\n")
            }
            prompt.append(quoting: text)
            prompt.append(template: isUser ? " [/INST]" : " \(template.secondSeparator ?? "")")
        }
        // Upstream strips the separator's characters, not the separator itself, from the front.
        let characters = Set(template.separator.unicodeScalars)
        return prompt.strippedAtStart { characters.contains($0) }
    }

    /// Texts alone.
    private func captions(_ messages: [Message]) throws(TokenizationError) -> PromptText {
        var prompt = systemText
        for (index, message) in messages.enumerated() {
            guard let text = message.spoken else { continue }
            guard index % 2 == 0 else {
                throw unrenderable(index, "it has no separator for replies; it is meant for captions in training")
            }
            prompt.append(quoting: text)
            prompt.append(template: template.separator)
        }
        return prompt
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
