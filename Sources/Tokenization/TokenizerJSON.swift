internal import Bytes

/// The parts of a Hugging Face `tokenizer.json` that decide how text becomes ids.
///
/// Source: huggingface/tokenizers v0.21, `tokenizers/src/tokenizer/serialization.rs` and the parts' own files.
struct TokenizerJSON {
    /// A step of the pipeline: a normaliser, a pre-tokeniser, a decoder or a post-processor.
    struct Step {
        let type: String
        let pattern: String?
        let behavior: String?
        let invert: Bool?
        let add_prefix_space: Bool?
        let use_regex: Bool?
        let individual_digits: Bool?
        /// The template of a sequence: control tokens, and nil for everything else.
        let single: [String?]?
        /// The steps of a sequence, none for a step itself.
        private let inner: [Step]?

        /// The steps of a sequence, or the step itself.
        var steps: [Step] { inner ?? [self] }

        init(_ json: ConfigurationFile) throws(TokenizationError) {
            type = try json.required("type", json.string("type"), expected: "a string")
            var inner: [Step]?
            for key in ["pretokenizers", "normalizers", "processors"] where inner == nil {
                inner = try json.objects(key)?.map { step throws(TokenizationError) in try Step(step) }
            }
            self.inner = inner
            pattern = try json.object("pattern")?.string("Regex")
            behavior = try json.string("behavior")
            invert = try json.bool("invert")
            add_prefix_space = try json.bool("add_prefix_space")
            use_regex = try json.bool("use_regex")
            individual_digits = try json.bool("individual_digits")
            single = try json.objects("single")?.map { piece throws(TokenizationError) in
                try piece.object("SpecialToken")?.string("id")
            }
        }
    }

    struct Added {
        let id: Int
        let token: AddedToken

        init(_ json: ConfigurationFile) throws(TokenizationError) {
            id = try json.required("id", json.integer("id"), expected: "an integer")
            token = AddedToken(
                try json.required("content", json.string("content"), expected: "a string"),
                stripsLeft: try json.bool("lstrip") ?? false, stripsRight: try json.bool("rstrip") ?? false,
                isSingleWord: try json.bool("single_word") ?? false, isSpecial: try json.bool("special") ?? false)
        }
    }

    /// The model; the vocabulary of any but BPE is left alone.
    struct Model {
        let type: String
        let unk_token: String?
        let byte_fallback: Bool
        let ignore_merges: Bool
        let hasDropout: Bool
        let affixes: [String]
        let vocab: [String: Int]
        /// Every merge as two tokens with a space between.
        let merges: [String]

        init(_ json: ConfigurationFile) throws(TokenizationError) {
            // The oldest files do not name their type.
            type = try json.string("type") ?? (json.has("merges") ? "BPE" : "not named")
            byte_fallback = try json.bool("byte_fallback") ?? false
            ignore_merges = try json.bool("ignore_merges") ?? false
            hasDropout = try (json.number("dropout") ?? 0) != 0
            guard type == "BPE", !byte_fallback else {
                (unk_token, affixes, vocab, merges) = (nil, [], [:], [])
                return
            }
            unk_token = try json.string("unk_token")
            affixes = try [json.string("continuing_subword_prefix"), json.string("end_of_word_suffix")].compactMap(
                \.self)
            let tokens = try json.required("vocab", json.object("vocab"), expected: "an object")
            var vocab: [String: Int] = [:]
            vocab.reserveCapacity(tokens.members.count)
            for (token, id) in tokens.members {
                guard let id = id.int else { throw tokens.error(token, expected: "an integer") }
                vocab[token] = id
            }
            self.vocab = vocab
            let expected = "an array of pairs, or of pairs in one text"
            merges = try json.required("merges", json.array("merges"), expected: expected)
                .map { merge throws(TokenizationError) in
                    // Newer versions write ["a", "b"] for "a b".
                    guard let text = merge.string ?? merge.array.flatMap(Self.joined) else {
                        throw json.error("merges", expected: expected)
                    }
                    return text
                }
        }

        private static func joined(_ pair: [JSONValue]) -> String? {
            let texts = pair.compactMap(\.string)
            return texts.count == pair.count ? texts.joined(separator: " ") : nil
        }
    }

    let added_tokens: [Added]
    let normalizer: Step?
    let pre_tokenizer: Step?
    let post_processor: Step?
    let decoder: Step?
    let model: Model

    /// Takes the parts out of the file.
    init(_ json: ConfigurationFile) throws(TokenizationError) {
        added_tokens = try json.objects("added_tokens")?.map(Added.init) ?? []
        normalizer = try json.object("normalizer").map(Step.init)
        pre_tokenizer = try json.object("pre_tokenizer").map(Step.init)
        post_processor = try json.object("post_processor").map(Step.init)
        decoder = try json.object("decoder").map(Step.init)
        model = try Model(json.required("model", json.object("model"), expected: "an object"))
    }
}
