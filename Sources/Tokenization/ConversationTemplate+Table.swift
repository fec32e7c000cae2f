extension ConversationTemplate {
    /// LLaVA's templates.
    ///
    /// Upstream's `default` and `v0` also carry two example messages, which its own training and evaluation code removes;
    /// they are left out here.
    public static let all: [ConversationTemplate] = [
        single("default", curiousHuman),
        single("v0", curiousHuman),
        two("v1", curiousUser),
        two("vicuna_v1", curiousUser),
        llama2("llama_2", safety, "<s>"),
        llama2("mistral_instruct", "", ""),
        chatML("chatml_direct", "<|im_start|>system\nAnswer the questions."),
        chatML("mistral_direct", "<|im_start|>system\nAnswer the questions."),
        plain("plain"),
        plain("v0_plain"),
        single("llava_v0", curiousHuman),
        single("v0_mmtag", curiousUserWithTags, version: "v0_mmtag"),
        two("llava_v1", curiousHuman),
        two("v1_mmtag", curiousUserWithTags, version: "v1_mmtag"),
        llama2("llava_llama_2", languageAndVision, "<s>"),
        chatML(
            "mpt",
            "<|im_start|>system\nA conversation between a user and an LLM-based AI assistant. "
                + "The assistant gives helpful and honest answers."),
    ]

    private static let curiousHuman =
        "A chat between a curious human and an artificial intelligence assistant. "
        + "The assistant gives helpful, detailed, and polite answers to the human's questions."

    private static let curiousUser =
        "A chat between a curious user and an artificial intelligence assistant. "
        + "The assistant gives helpful, detailed, and polite answers to the user's questions."

    private static let curiousUserWithTags =
        "A chat between a curious user and an artificial intelligence assistant. "
        + "The assistant is able to understand the visual content that the user provides, "
        + "and assist the user with a variety of tasks using natural language."
        + "The visual content will be provided with the following format: <Image>visual content</Image>."

    private static let languageAndVision =
        "You are a helpful language and vision assistant. "
        + "You are able to understand the visual content that the user provides, "
        + "and assist the user with a variety of tasks using natural language."

    private static let safety =
        "You are a helpful, respectful and honest assistant. "
        + "Always answer as helpfully as possible, while being safe.  "
        + "Your answers should not include any harmful, unethical, racist, sexist, toxic, dangerous, or illegal content. "
        + "Please ensure that your responses are socially unbiased and positive in nature.\n\n"
        + "If a question does not make any sense, or is not factually coherent, "
        + "explain why instead of answering something not correct. "
        + "If you don't know the answer to a question, please don't share false information."

    private static func single(_ name: String, _ system: String, version: String = "Unknown") -> Self {
        Self(
            name: name, system: system, userRole: "Human", assistantRole: "Assistant", style: .single, separator: "###",
            secondSeparator: nil, version: version)
    }

    private static func two(_ name: String, _ system: String, version: String = "v1") -> Self {
        Self(
            name: name, system: system, userRole: "USER", assistantRole: "ASSISTANT", style: .two, separator: " ",
            secondSeparator: "</s>", version: version)
    }

    private static func llama2(_ name: String, _ system: String, _ separator: String) -> Self {
        Self(
            name: name, system: system, userRole: "USER", assistantRole: "ASSISTANT", style: .llama2,
            separator: separator, secondSeparator: "</s>", version: "llama_v2")
    }

    private static func chatML(_ name: String, _ system: String) -> Self {
        Self(
            name: name, system: system, userRole: "<|im_start|>user\n", assistantRole: "<|im_start|>assistant\n",
            style: .mpt, separator: "<|im_end|>", secondSeparator: nil, version: "mpt",
            systemRole: "<|im_start|>system\n")
    }

    private static func plain(_ name: String) -> Self {
        Self(
            name: name, system: "", userRole: "", assistantRole: "", style: .plain, separator: "\n",
            secondSeparator: nil, version: "Unknown")
    }
}
