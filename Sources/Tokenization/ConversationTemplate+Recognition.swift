extension ConversationTemplate {
    /// Chooses the template for a model that brings a chat template along: the one asked for, or the family recognised.
    ///
    /// - Parameters:
    ///   - name: The template's name when a person gave one; the text is not looked at then.
    ///   - chatTemplate: The Jinja text, `tokenizer.chat_template` of a GGUF file or `chat_template` of
    ///     `tokenizer_config.json`.
    /// - Throws: `TokenizationError.unknownTemplate` when `name` is not a template, and
    ///   `TokenizationError.unknownChatTemplate` when the text is of no known family.
    public static func choose(
        named name: String? = nil, chatTemplate: String
    ) throws(TokenizationError) -> Choice {
        if let name { return Choice(template: try named(name), reason: "\(name) was asked for") }
        return try recognized(chatTemplate: chatTemplate)
    }

    /// The family that a Jinja text renders, by the markers in it. The text is never executed: what a template does
    /// beyond its family's format, such as offering tools, is left out.
    ///
    /// - Throws: `TokenizationError.unknownChatTemplate` when it is of no known family.
    public static func recognized(chatTemplate text: String) throws(TokenizationError) -> Choice {
        for family in Family.allCases where family.matches(text) {
            let (template, note) = try template(of: family, text)
            let markers = family.markers.joined(separator: ", ")
            let extras = ["tools", "<think>"].filter(text.containsExactly).joined(separator: " and ")
            let omission = extras.isEmpty ? "" : "; what it does with \(extras) is left out"
            return Choice(
                template: template,
                reason: "its chat template has the markers of \(family.rawValue): \(markers)\(note)\(omission)")
        }
        throw .unknownChatTemplate(known: Family.allCases.map(\.rawValue))
    }

    private enum Family: String, CaseIterable {
        case llama3 = "Llama 3"
        case chatML = "ChatML"
        case llama2 = "Llama 2"
        case vicuna = "Vicuna"

        /// What must stand in the text.
        var markers: [String] {
            switch self {
            case .llama3: ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
            case .chatML: ["<|im_start|>", "<|im_end|>"]
            case .llama2: ["[INST]", "[/INST]", "<<SYS>>"]
            case .vicuna: ["USER:", "ASSISTANT:"]
            }
        }

        /// What must not: markers of formats that share some with the family.
        private var strangers: [String] {
            switch self {
            case .chatML: ["<|im_sep|>", "<|im_middle|>", "[INST]"]
            case .vicuna: ["<|", "[INST]", "### "]
            case .llama3, .llama2: []
            }
        }

        func matches(_ text: String) -> Bool {
            markers.allSatisfy(text.containsExactly) && !strangers.contains(where: text.containsExactly)
        }
    }

    private static func template(
        of family: Family, _ text: String
    ) throws(TokenizationError) -> (template: Self, note: String) {
        switch family {
        case .chatML:
            guard let system = defaultSystem(inChatML: text) else { return (chatML(), "") }
            return (chatML(system: system), "; its own system message is \(system.debugDescription)")
        case .llama3:
            // Releases from 3.1 on say these dates before any system message.
            guard text.containsExactly("Cutting Knowledge Date: December 2023") else { return (llama3(), "") }
            let date = "Today Date: 26 Jul 2024"
            let preamble = "Cutting Knowledge Date: December 2023\n\(date)\n\n"
            return (llama3(preamble: preamble), "; with its line \(date.debugDescription), which is not the real date")
        case .llama2:
            let original = try named("llama_2")
            let opening = original.system.pieces(separatedBy: ".")[0]
            guard text.containsExactly(opening) else { return (llama2Bare, "") }
            return (original, "; with its own system message")
        case .vicuna: return (try named("vicuna_v1"), "; written as FastChat's vicuna_v1")
        }
    }

    /// The words that a ChatML text gives the system by itself: a literal string from `<|im_start|>system` to
    /// `<|im_end|>` without any expression between.
    private static func defaultSystem(inChatML text: String) -> String? {
        let pieces = text.pieces(separatedBy: "<|im_start|>system")
        for (before, after) in zip(pieces, pieces.dropFirst()) {
            guard let quote = before.unicodeScalars.last(where: { $0 == "'" || $0 == "\"" }),
                let words = literal(after, endingAt: "<|im_end|>", quotedBy: quote),
                words.utf8.first == 0x0A, words.utf8.count > 1
            else { continue }
            return String(words.unicodeScalars.dropFirst())
        }
        return nil
    }

    /// The beginning of `text` up to `end`, with escapes resolved, if no quote or brace comes before.
    private static func literal(_ text: String, endingAt end: String, quotedBy quote: Unicode.Scalar) -> String? {
        let pieces = text.pieces(separatedBy: end)
        guard pieces.count > 1 else { return nil }
        var result = String.UnicodeScalarView()
        var isEscaped = false
        for scalar in pieces[0].unicodeScalars {
            if isEscaped {
                result.append(scalar == "n" ? "\n" : scalar == "t" ? "\t" : scalar)
                isEscaped = false
            } else if scalar == "\\" {
                isEscaped = true
            } else if scalar == quote || scalar == "{" || scalar == "}" {
                return nil
            } else {
                result.append(scalar)
            }
        }
        return isEscaped ? nil : String(result)
    }
}
