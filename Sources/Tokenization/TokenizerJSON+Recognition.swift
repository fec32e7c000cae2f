extension TokenizerJSON {
    /// What of the pipeline's steps a byte-level tokenizer needs to know.
    struct Pipeline {
        var preTokenizer: PreTokenizer
        var addsSpacePrefix: Bool
        var normalizesText: Bool
    }

    /// Recognises the steps of a tokenizer of GPT-2, SmolLM, Llama 3 or Qwen 2.
    ///
    /// - Throws: `TokenizationError.unsupportedModel` for anything else, which names the step.
    func pipeline(file: String) throws(TokenizationError) -> Pipeline {
        func unsupported(_ field: String, _ found: String, _ supported: String) -> TokenizationError {
            .unsupportedModel(file: file, field: field, found: found, supported: supported)
        }
        guard model.type == "BPE" else { throw unsupported("model.type", model.type, "BPE") }
        guard !model.byte_fallback else {
            throw unsupported(
                "model.byte_fallback", "true, the kind of LLaMA 2, which is read from its tokenizer.model",
                "byte-level BPE; put the checkpoint's tokenizer.model beside it")
        }
        guard !model.hasDropout else { throw unsupported("model.dropout", "set", "none") }
        if let affix = model.affixes.first(where: { !$0.isEmpty }) {
            throw unsupported("model.end_of_word_suffix or continuing_subword_prefix", affix.debugDescription, "none")
        }
        let normalizers = normalizer?.steps ?? []
        if let other = normalizers.first(where: { $0.type != "NFC" }) {
            throw unsupported("normalizer", other.type, "none, NFC")
        }
        if let decoder, decoder.type != "ByteLevel" { throw unsupported("decoder", decoder.type, "ByteLevel") }
        guard let (preTokenizer, addsSpacePrefix) = recognizedPreTokenizer else {
            let found = (pre_tokenizer?.steps ?? []).map { step in
                step.type + (step.pattern.map { " \($0.debugDescription)" } ?? "")
            }
            throw unsupported(
                "pre_tokenizer", found.isEmpty ? "none" : found.joined(separator: " and then "),
                "those of GPT-2, SmolLM, Llama 3 and Qwen 2")
        }
        return Pipeline(
            preTokenizer: preTokenizer, addsSpacePrefix: addsSpacePrefix, normalizesText: !normalizers.isEmpty)
    }

    private var recognizedPreTokenizer: (PreTokenizer, addsSpacePrefix: Bool)? {
        guard let steps = pre_tokenizer?.steps, let last = steps.last, last.type == "ByteLevel" else { return nil }
        let addsSpacePrefix = last.add_prefix_space ?? true
        let usesRegex = last.use_regex ?? true
        if steps.count == 1 { return usesRegex ? (.gpt2, addsSpacePrefix) : nil }
        // A prefix in a later step would go before each of the earlier step's stretches.
        guard steps.count == 2, !addsSpacePrefix else { return nil }
        switch steps[0].type {
        case "Digits": return steps[0].individual_digits == true && usesRegex ? (.smollm, false) : nil
        case "Split":
            guard steps[0].behavior == "Isolated", steps[0].invert != true, !usesRegex,
                let pattern = steps[0].pattern
            else { return nil }
            return [PreTokenizer.llama3, .qwen2].first { $0.pattern.hasSameScalars(pattern) }.map { ($0, false) }
        default: return nil
        }
    }

    /// The control token that the template of a sequence begins with, if it begins with one.
    var firstSpecialToken: String? {
        let template = post_processor?.steps.first { $0.type == "TemplateProcessing" }
        return template?.single?.first.flatMap(\.self)
    }

    /// The control token that the template of a sequence ends with, if it ends with one.
    var lastSpecialToken: String? {
        let template = post_processor?.steps.first { $0.type == "TemplateProcessing" }
        return template?.single?.last.flatMap(\.self)
    }
}
