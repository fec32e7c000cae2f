public import Foundation
public import ModelFiles
public import Tokenization

/// The words of a checkpoint: its tokenizer, and the chat template it brings along.
public struct TokenizerFiles: Sendable {
    /// Between text and token ids.
    public let tokenizer: any Tokenizer
    /// Jinja text that says how conversations are written out; nil if the checkpoint has none.
    public let chatTemplate: String?

    /// A GGUF file without tensors, which holds the words of a decoder that was converted from GGUF.
    static let vocabularyFile = "tokenizer.gguf"

    /// Where the words of a checkpoint are.
    public enum Location: Sendable {
        /// In the metadata of the file.
        case gguf(GGUFFile)
        /// In `tokenizer.model`, `tokenizer.json` or `tokenizer.gguf` and the files beside it.
        case directory(URL)

        /// Where the words of what lies at `path` are: a model, or a GGUF file of a vocabulary alone.
        /// - Throws: `CheckpointError` if there is nothing that can be read.
        public init(path: String) throws {
            if let assembled = try AssembledModel.find(at: path) {
                try self.init(path: assembled.model.decoderPath(in: assembled.directory))
            } else if let gguf = try? GGUFFile(path: path) {
                self = .gguf(gguf)
            } else if TokenizerDirectory.holdsTokenizer(URL(filePath: path)) {
                self = .directory(URL(filePath: path))
            } else {
                try self.init(of: CheckpointDirectory(path: path))
            }
        }

        /// Where a checkpoint keeps its words: in its GGUF file, or else in its directory.
        /// - Throws: `CheckpointError` for a damaged `tokenizer.gguf`.
        public init(of checkpoint: CheckpointDirectory) throws {
            if let gguf = checkpoint.gguf {
                self = .gguf(gguf)
                return
            }
            let directory = checkpoint.directory
            let converted = directory.appending(path: TokenizerFiles.vocabularyFile).path
            self =
                FileManager.default.fileExists(atPath: converted)
                ? .gguf(try GGUFFile(path: converted)) : .directory(directory)
        }
    }

    /// Reads the words at a place.
    /// - Throws: `TokenizationError` if there is no tokenizer or a damaged one, `CheckpointError` for metadata of the
    ///   wrong types.
    public init(_ location: Location) throws {
        switch location {
        case .gguf(let file):
            let checkpoint = try GGUFCheckpoint(file)
            tokenizer = try checkpoint.vocabulary().tokenizer()
            chatTemplate = checkpoint.chatTemplate
        case .directory(let directory):
            tokenizer = try TokenizerDirectory.tokenizer(in: directory)
            chatTemplate = try TokenizerDirectory.chatTemplate(in: directory)
        }
    }
}
