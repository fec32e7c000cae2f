extension LabelMask {
    /// What differs between the separator styles.
    struct Rule {
        /// The labels ignored from the start: the BOS id, where a round does not count it itself.
        let start: Int
        /// What stands between a question and its reply.
        let replyMarker: String
        /// How many ids an encoded question has beyond what is ignored: its BOS, and a space at its end.
        let instructionExcess: Int
        /// What ends a reply, which rounds are cut at.
        let end: String
        /// What later rounds count more than the first, by `legacy`: their leading space and BOS.
        let correction: (_ legacy: Bool) -> Int
        /// Cuts a rendered conversation into rounds of a question and a reply.
        let rounds: (_ prompt: String) -> [String]

        func rounds(of prompt: String) -> [String] { rounds(prompt) }
    }

    /// The masking rule of `template`, chosen as upstream's `preprocess` does.
    static func rule(for template: ConversationTemplate) throws(TokenizationError) -> Rule {
        let second = template.secondSeparator ?? ""
        switch template.style {
        case .llama2:
            return Rule(
                start: 1, replyMarker: "[/INST] ", instructionExcess: 2, end: second,
                correction: { _ in 0 },
                rounds: { $0.pieces(separatedBy: second) })
        case .two:
            return Rule(
                start: 1, replyMarker: "\(template.separator)\(template.assistantRole): ", instructionExcess: 2,
                end: second, correction: { legacy in legacy ? 0 : -1 }, rounds: { $0.pieces(separatedBy: second) })
        case .mpt:
            let separator = template.separator
            return Rule(
                start: 0, replyMarker: separator + template.assistantRole, instructionExcess: 1,
                end: separator, correction: { legacy in legacy ? 1 : 0 },
                rounds: { prompt in
                    // The system text belongs to the first round; templates of chat models may have none.
                    let first = template.system.isEmpty ? 2 : 3
                    let parts = prompt.pieces(separatedBy: separator)
                    let later = stride(from: first, to: parts.count, by: 2).map { parts[$0..<min($0 + 2, parts.count)] }
                    return ([parts.prefix(first)] + later).map { $0.joined(separator: separator) }
                })
        case .single, .plain, .llama3:
            throw .invalidTrainingSample(
                template: template.name, turn: 0,
                problem: "samples are masked for the styles TWO, LLAMA_2, MPT and PLAIN, not \(template.style.rawValue)"
            )
        }
    }
}

extension LabelMask {
    /// Counts the ids of rounds that are encoded by themselves.
    struct RoundLengths {
        let rule: Rule
        let tokenizer: any Tokenizer
        let hasImage: Bool

        /// The ids before the first round.
        var start: Int { tokenizer is LlamaTokenizer ? rule.start : tokenizer.addsBOS ? 1 : 0 }

        /// How many ids of the whole a round takes, and how many of these are not learned.
        func of(_ round: String, question: String, isFirst: Bool) -> (whole: Int, instruction: Int) {
            guard let llama = tokenizer as? LlamaTokenizer else {
                // A space at the end of the marker is an id by itself here, but part of the reply's first id in the whole.
                let space = rule.replyMarker.unicodeScalars.last == " " ? 1 : 0
                let end = tokenizer.encode(rule.end, addingSpecialTokens: false).count
                return (count(round) + end, count(question) - space)
            }
            let correction = isFirst ? 0 : rule.correction(llama.configuration.legacy)
            func encodedCount(_ text: String) -> Int {
                hasImage ? ImagePrompt(text, tokenizer: llama).ids.count : llama.encode(text).count
            }
            let instruction = encodedCount(question) - rule.instructionExcess + correction
            return (encodedCount(round) + correction, instruction)
        }

        /// The ids of a text without BOS and EOS, one for every image.
        private func count(_ text: String) -> Int {
            let parts = hasImage ? text.pieces(separatedBy: ImagePrompt.imageToken) : [text]
            return parts.map { tokenizer.encode($0, addingSpecialTokens: false).count }.reduce(parts.count - 1, +)
        }
    }
}
