import Foundation
import LanguageDecoder
import ModelFiles
import Tensors
import Tokenization

/// The decoder of a checkpoint with its words, ready to be written as GGUF.
struct DecoderExport {
    let config: LlamaConfig
    /// Keys of its mixture of depths; none for a plain decoder.
    let mixture: MixtureKeys
    /// The weights under the names of Hugging Face.
    let tensors: [String: Tensor]
    /// The tokenizer, the chat template and a name.
    let metadata: [String: GGUFValue]
    /// Tensors of the checkpoint that belong to other parts, by name.
    let leftOut: [String]

    /// Finds the decoder among the weights of a checkpoint.
    /// - Throws: `CheckpointError` if it holds none, `TokenizationError` if its tokenizer is missing or damaged.
    init(of files: CheckpointFiles) throws {
        let checkpoint = files.directory
        switch checkpoint.layout {
        case .llama, .llava, .gguf: break
        default:
            throw CheckpointError.unexpectedValue(
                file: checkpoint.path, key: "", expected: "a LLaMA decoder", got: "\(checkpoint.layout)")
        }
        config = try JSONFile.decode(LlamaConfig.self, from: files.configData, file: files.configPath)
        mixture = GGUFCheckpoint.mixtureKeys(in: try files.config)
        leftOut = files.tensors.keys.filter { !Self.isDecoder($0) }.sorted()
        // Older checkpoints store the frequencies, which follow from the configuration.
        tensors = files.tensors.filter { Self.isDecoder($0.key) && !$0.key.hasSuffix(".rotary_emb.inv_freq") }
        switch try TokenizerFiles.Location(of: checkpoint) {
        case .gguf(let file): metadata = Self.words(of: file)
        case .directory(let directory):
            var values = try TokenizerDirectory.vocabulary(in: directory).ggufMetadata
            if let template = try TokenizerDirectory.chatTemplate(in: directory) {
                values["tokenizer.chat_template"] = .string(template)
            }
            values["general.name"] = .string(directory.lastPathComponent)
            metadata = values
        }
    }

    private static func isDecoder(_ name: String) -> Bool {
        name.hasPrefix("model.layers.") || name.hasPrefix("lm_head.") || name.hasPrefix("model.embed_tokens.")
            || name == "model.norm.weight"
    }

    /// The metadata of a file that is not about its tensors.
    static func words(of file: GGUFFile) -> [String: GGUFValue] {
        file.metadata.filter { key, _ in
            key.hasPrefix("tokenizer.") || key.hasPrefix("general.") && !typeKeys.contains(key)
        }
    }

    /// What a file says of its own element types.
    private static let typeKeys = ["general.file_type", "general.quantization_version", "general.architecture"]

    /// What llama.cpp would refuse in the file, and why, for whoever writes it; nil if it takes it.
    var refusal: String? {
        if !mixture.isEmpty {
            return
                "this decoder has a mixture of depths: the file is of architecture \(GGUFCheckpoint.mixtureOfDepths), "
                + "which vlm reads and llama.cpp refuses, as it has no routers"
        }
        if let name = metadata[GGUFCheckpoint.vocabularyPrefix + "pre"]?.string, MergeRule.isOurs(name) {
            return
                "this tokenizer takes whole words where others merge: the file calls its pre-tokeniser \(name), which "
                + "vlm reads and llama.cpp refuses, as it would cut words into other tokens"
        }
        return nil
    }

    /// The tokens that are cut out of text.
    private var controlTokens: [String] {
        let key = GGUFCheckpoint.vocabularyPrefix
        let tokens = metadata[key + "tokens"]?.strings ?? []
        let types = metadata[key + "token_type"]?.integers ?? []
        let cut = [SentencePieceModel.Kind.control, .userDefined].map(\.rawValue)
        return zip(tokens, types).filter { cut.contains($0.1) }.map(\.0)
    }

    /// Throws unless the words that were written make the ids of those they come from: on a sentence, on what tokenizers
    /// differ in, and beside every control token.
    func checkWords(of checkpoint: CheckpointDirectory, at path: String) throws {
        let original = try TokenizerFiles(.init(of: checkpoint)).tokenizer
        let written = try TokenizerFiles(.init(path: path)).tokenizer
        let texts = [
            "The quick brown fox can't jump over 12 lazy dogs, can it?", " two  spaces\n\n\tand a tab ",
            "é e\u{301} 😀 中文 ﬁ",
            "x = 3.14159 * (y_1 + 2e10);",
        ]
        for text in texts + controlTokens.prefix(100).map({ "a \($0) b\($0)c" }) {
            guard original.encode(text) == written.encode(text) else {
                throw CheckpointError.unwritable(
                    path: path,
                    reason: "GGUF cannot hold this tokenizer: \(text.debugDescription) would become other tokens")
            }
        }
    }

    /// Writes the decoder; see `GGUFCheckpoint.write`.
    func write(to path: String, as types: DecoderTypes, progress: WeightsProgress.Observer) throws {
        try GGUFCheckpoint.write(
            config, tensors, as: types, mixture: mixture, metadata: metadata, to: path, progress: progress)
    }
}
