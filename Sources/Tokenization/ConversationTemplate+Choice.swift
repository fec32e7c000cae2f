extension ConversationTemplate {
    /// A template together with why it was taken, to be shown to whoever asked.
    public struct Choice: Sendable, Equatable {
        /// The template taken.
        public let template: ConversationTemplate
        /// A sentence that says why.
        public let reason: String

        /// A choice made elsewhere.
        public init(template: ConversationTemplate, reason: String) {
            self.template = template
            self.reason = reason
        }
    }

    /// Chooses the template for a model: the one asked for, or by upstream's rule from the model's name.
    ///
    /// Upstream looks for substrings of the lower-cased name and falls back to `llava_v0`. For MQT-LLaVA that fallback is
    /// wrong (its own instructions pass `llava_v1` by hand), so a name with `mqt` gets `llava_v1`; a p-MoD name counts
    /// `next` as `v1`. Source: `run_llava.py` and `cli.py` of LLaVA v1.2.2, MQT-LLaVA and p-MoD.
    ///
    /// - Parameters:
    ///   - name: The template's name when a person gave one.
    ///   - modelName: The checkpoint's name, such as the last part of its path.
    ///   - modelType: `model_type` of the checkpoint's `config.json`, where known.
    /// - Throws: `TokenizationError.unknownTemplate` when `name` is not a template; there is no fallback then.
    public static func choose(
        named name: String? = nil, modelName: String, modelType: String? = nil
    ) throws(TokenizationError) -> Choice {
        if let name { return Choice(template: try named(name), reason: "\(name) was asked for") }
        let lowered = modelName.lowercased()
        let isPMoD = ["p-mod", "pmod"].contains { (modelType ?? lowered).lowercased().containsExactly($0) }
        for rule in rules where lowered.containsExactly(rule.part) && (!rule.isForPMoD || isPMoD) {
            let reason =
                "the model's name \"\(modelName)\" contains \"\(rule.part)\"" + (rule.note.map { ": \($0)" } ?? "")
            return Choice(template: try named(rule.template), reason: reason)
        }
        let reason =
            "the model's name \"\(modelName)\" contains none of \(rules.map(\.part).joined(separator: ", ")), "
            + "and upstream's rule ends with llava_v0; name a template if the model was trained with another"
        return Choice(template: try named("llava_v0"), reason: reason)
    }

    private struct Rule {
        let part: String
        let template: String
        var isForPMoD = false
        var note: String?
    }

    /// In upstream's order.
    private static let rules = [
        Rule(part: "llama-2", template: "llava_llama_2"),
        Rule(part: "mistral", template: "mistral_instruct"),
        Rule(part: "v1.6-34b", template: "chatml_direct"),
        Rule(part: "v1", template: "llava_v1"),
        Rule(part: "next", template: "llava_v1", isForPMoD: true),
        Rule(part: "mpt", template: "mpt"),
        Rule(part: "mqt", template: "llava_v1", note: "MQT-LLaVA is used with llava_v1"),
    ]
}
