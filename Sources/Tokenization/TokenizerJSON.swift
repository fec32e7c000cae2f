/// The parts of a Hugging Face `tokenizer.json` that decide how text becomes ids.
///
/// Source: huggingface/tokenizers v0.21, `tokenizers/src/tokenizer/serialization.rs` and the parts' own files.
struct TokenizerJSON: Decodable {
    /// A step of the pipeline: a normaliser, a pre-tokeniser, a decoder or a post-processor.
    struct Step: Decodable {
        let type: String
        let pretokenizers: [Step]?
        let normalizers: [Step]?
        let processors: [Step]?
        let pattern: Pattern?
        let behavior: String?
        let invert: Bool?
        let add_prefix_space: Bool?
        let use_regex: Bool?
        let individual_digits: Bool?
        let single: [TemplatePiece]?

        /// The steps of a sequence, or the step itself.
        var steps: [Step] { pretokenizers ?? normalizers ?? processors ?? [self] }
    }

    struct Pattern: Decodable {
        let Regex: String?
    }

    /// A place in the template of a sequence.
    struct TemplatePiece: Decodable {
        struct Special: Decodable {
            let id: String
        }
        let SpecialToken: Special?
    }

    struct Added: Decodable {
        let id: Int
        let content: String
        let single_word: Bool?
        let lstrip: Bool?
        let rstrip: Bool?
        let special: Bool?
    }

    /// The model; the vocabulary of any but BPE is left alone.
    struct Model: Decodable {
        let type: String
        let unk_token: String?
        let byte_fallback: Bool
        let ignore_merges: Bool
        let hasDropout: Bool
        let affixes: [String]
        let vocab: [String: Int]
        /// Every merge as two tokens with a space between.
        let merges: [String]

        private enum CodingKeys: String, CodingKey {
            case type, unk_token, byte_fallback, ignore_merges, dropout, continuing_subword_prefix, end_of_word_suffix
            case vocab, merges
        }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            // The oldest files do not name their type.
            let isOldBPE = values.contains(.merges)
            type = try values.decodeIfPresent(String.self, forKey: .type) ?? (isOldBPE ? "BPE" : "not named")
            byte_fallback = try values.decodeIfPresent(Bool.self, forKey: .byte_fallback) ?? false
            ignore_merges = try values.decodeIfPresent(Bool.self, forKey: .ignore_merges) ?? false
            hasDropout = try (values.decodeIfPresent(Double.self, forKey: .dropout) ?? 0) != 0
            guard type == "BPE", !byte_fallback else {
                (unk_token, affixes, vocab, merges) = (nil, [], [:], [])
                return
            }
            unk_token = try values.decodeIfPresent(String.self, forKey: .unk_token)
            affixes = try [.continuing_subword_prefix, .end_of_word_suffix].compactMap {
                try values.decodeIfPresent(String.self, forKey: $0)
            }
            vocab = try values.decode([String: Int].self, forKey: .vocab)
            if let merges = try? values.decode([String].self, forKey: .merges) {
                self.merges = merges
            } else {  // newer versions write ["a", "b"] for "a b"
                merges = try values.decode([[String]].self, forKey: .merges).map { $0.joined(separator: " ") }
            }
        }
    }

    let added_tokens: [Added]?
    let normalizer: Step?
    let pre_tokenizer: Step?
    let post_processor: Step?
    let decoder: Step?
    let model: Model
}
