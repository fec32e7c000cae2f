public import Foundation

/// The contents of a SentencePiece `tokenizer.model`: pieces, and how text is normalised before they apply.
///
/// Only byte-pair-encoding models with the identity normaliser are accepted, which is what LLaMA and its relatives use;
/// any other is refused by name rather than tokenised wrongly.
/// Source: google/sentencepiece, `src/sentencepiece_model.proto`.
public struct SentencePieceModel: Sendable, Equatable {
    /// One entry of the vocabulary; its id is its index.
    public struct Piece: Sendable, Equatable {
        /// What the piece stands for; a space is written as U+2581.
        public var text: String
        /// The rank of the merge that forms the piece: higher merges first.
        public var score: Float
        /// The piece's part in encoding and decoding.
        public var kind: Kind
    }

    /// The part a piece plays; raw values are those of the file.
    public enum Kind: Int, Sendable, Equatable {
        /// Formed by merging.
        case normal = 1
        /// Stands for text that no piece covers.
        case unknown = 2
        /// Never formed from text and never shown: `<s>`, `</s>`.
        case control = 3
        /// Taken whole wherever it stands in the text.
        case userDefined = 4
        /// Takes part in merging but is split again in the result.
        case unused = 5
        /// One byte of a character that no piece covers: `<0x0A>`.
        case byte = 6
    }

    /// The file the model was read from, for errors.
    public internal(set) var file: String
    /// The vocabulary in id order.
    public internal(set) var pieces: [Piece] = []
    /// Whether characters outside the vocabulary become their UTF-8 bytes rather than the unknown piece.
    public internal(set) var byteFallback = false
    /// The id of the piece of kind `unknown`.
    public internal(set) var unknownID = 0
    /// The id that begins a sequence, if the model has one.
    public internal(set) var bosID: Int? = 1
    /// The id that ends a sequence, if the model has one.
    public internal(set) var eosID: Int? = 2
    /// The id that fills up short sequences, if the model has one.
    public internal(set) var padID: Int?
    /// What the unknown piece decodes to.
    public internal(set) var unknownSurface = " \u{2047} "
    /// Whether a space is put in front of non-empty text.
    public internal(set) var addDummyPrefix = true
    /// Whether leading, trailing and repeated spaces are removed.
    public internal(set) var removeExtraWhitespaces = true
    /// Whether spaces become U+2581.
    public internal(set) var escapeWhitespaces = true

    /// Reads the model at `url`.
    ///
    /// - Throws: `TokenizationError` when the file cannot be read, is damaged, or is of an unsupported kind.
    public init(contentsOf url: URL) throws(TokenizationError) {
        let data: Data
        do { data = try Data(contentsOf: url) } catch {
            throw .unreadableFile(file: url.path(percentEncoded: false), reason: error.localizedDescription)
        }
        try self.init(bytes: [UInt8](data), file: url.path(percentEncoded: false))
    }

    /// Reads a model from its bytes; `file` names it in errors. O(bytes).
    ///
    /// - Throws: `TokenizationError` when the bytes are damaged or the model is of an unsupported kind.
    public init(bytes: [UInt8], file: String) throws(TokenizationError) {
        self.file = file
        try parse(bytes)
        try validate()
    }
}
