extension ConversationTemplate {
    /// Templates of chat models outside LLaVA's table; the families Vicuna and Llama 2 are `vicuna_v1` and `llama_2` there.
    public static let families: [ConversationTemplate] = [chatML(), llama3(), llama2Bare, questionAnswer]

    /// A question and an answer with as few tokens around them as can be, for small models of our own.
    static let questionAnswer = Self(
        name: "question_answer", system: "", userRole: "Q", assistantRole: "A", style: .two, separator: " ",
        secondSeparator: "</s>", version: "v1")

    /// ChatML with a line break after every message, as SmolLM2 and Qwen 2 were trained with.
    static func chatML(system: String = "") -> Self {
        let systemRole = "<|im_start|>system\n"
        return Self(
            name: "chatml", system: system.isEmpty ? "" : systemRole + system, userRole: "<|im_start|>user\n",
            assistantRole: "<|im_start|>assistant\n", style: .mpt, separator: "<|im_end|>\n", secondSeparator: nil,
            version: "chatml", systemRole: systemRole)
    }

    /// Llama 3; `preamble` is what the template of later releases puts before every system message.
    static func llama3(preamble: String = "") -> Self {
        func header(_ role: String) -> String { "<|start_header_id|>\(role)<|end_header_id|>\n\n" }
        let systemRole = header("system") + preamble
        return Self(
            name: "llama_3", system: preamble.isEmpty ? "" : systemRole, userRole: header("user"),
            assistantRole: header("assistant"), style: .llama3, separator: "<|eot_id|>", secondSeparator: nil,
            version: "llama_v3", systemRole: systemRole, opening: "<|begin_of_text|>")
    }

    /// Llama 2 without its original words about safety, which later releases of the same models left out.
    static let llama2Bare = Self(
        name: "llama_2_bare", system: "", userRole: "USER", assistantRole: "ASSISTANT", style: .llama2,
        separator: "<s>", secondSeparator: "</s>", version: "llama_v2")
}
