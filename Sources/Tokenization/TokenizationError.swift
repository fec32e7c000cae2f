internal import Bytes

/// What can go wrong between text and token ids: every case says what failed, where, and what to do next.
public enum TokenizationError: Error, Equatable, Sendable {
    /// A file could not be read from disk.
    case unreadableFile(file: String, reason: String)
    /// A directory holds no tokenizer this package reads.
    case missingTokenizer(directory: String, lookedFor: [String], hasTokenizerJSON: Bool)
    /// A `tokenizer.model` breaks the wire format at a byte offset.
    case damagedModel(file: String, field: String, offset: Int, problem: String)
    /// A `tokenizer.model` is sound but of a kind that is not read.
    case unsupportedModel(file: String, field: String, found: String, supported: String)
    /// The pieces of a `tokenizer.model` do not form a usable vocabulary.
    case invalidVocabulary(file: String, problem: String)
    /// A JSON file beside the model holds something unusable under a key.
    case invalidConfiguration(file: String, key: String, problem: String)
    /// An id to decode is outside the vocabulary.
    case unknownID(Int, vocabularySize: Int)
    /// No conversation template has this name.
    case unknownTemplate(name: String, known: [String])
    /// A model's chat template is of no family that is known here.
    case unknownChatTemplate(known: [String])
    /// A conversation has no rendering in its template.
    case unrenderableConversation(template: String, message: Int, problem: String)
    /// A training sample cannot be turned into ids and labels.
    case invalidTrainingSample(template: String, turn: Int, problem: String)
}

extension TokenizationError: CustomStringConvertible {
    /// What failed, where, expected, got, and the next step.
    public var description: String {
        switch self {
        case .unreadableFile(let file, let reason):
            "cannot read \(file): \(reason). Check the path and its permissions."
        case .missingTokenizer(let directory, let lookedFor, let hasTokenizerJSON):
            "no tokenizer in \(directory): looked for \(lookedFor.joined(separator: ", ")). "
                + (hasTokenizerJSON
                    ? "Its tokenizer.json is of another kind: put the original tokenizer.model beside it."
                    : "Copy the tokenizer.model of the checkpoint's language model there.")
        case .damagedModel(let file, let field, let offset, let problem):
            "\(file): damaged at byte \(offset), in \(field): \(problem). Fetch the file again."
        case .unsupportedModel(let file, let field, let found, let supported):
            "\(file): \(field) is \(found); supported: \(supported). Use a LLaMA-style SentencePiece BPE model, or byte-level BPE."
        case .invalidVocabulary(let file, let problem):
            "\(file): unusable vocabulary: \(problem). Fetch the file again or train the tokenizer anew."
        case .invalidConfiguration(let file, let key, let problem):
            "\(file): key \"\(key)\": \(problem). Correct the file or copy it from the original checkpoint."
        case .unknownID(let id, let size):
            "token id \(id) is outside the vocabulary of \(size) ids (0...\(size - 1)). "
                + "Check that tokenizer and model belong together."
        case .unknownTemplate(let name, let known):
            "no conversation template is named \"\(name)\"; known: \(known.joined(separator: ", ")). Choose one of these."
        case .unknownChatTemplate(let known):
            "the model's chat template is of no known family (\(known.joined(separator: ", "))), and templates are not "
                + "executed. Name a conversation template if you know which one the model was trained with."
        case .unrenderableConversation(let template, let message, let problem):
            "template \(template) cannot render message \(message + 1): \(problem)."
        case .invalidTrainingSample(let template, let turn, let problem):
            "training sample for template \(template), turn \(turn + 1): \(problem). Correct the sample."
        }
    }
}

extension TokenizationError: ByteReadingError, JSONReadingError {
    package static func outOfBounds(file: String, part: String, offset: Int, wanted: Int, available: Int) -> Self {
        .damagedModel(
            file: file, field: part, offset: offset, problem: "it needs \(wanted) bytes where \(available) are left")
    }

    package static func damaged(file: String, part: String, offset: Int, expected: String, got: String) -> Self {
        .damagedModel(file: file, field: part, offset: offset, problem: "expected \(expected), got \(got)")
    }

    package static func invalidJSON(file: String, line: Int, column: Int, reason: String) -> Self {
        .invalidConfiguration(
            file: file, key: wholeFile, problem: "it is not valid JSON: line \(line), column \(column): \(reason)")
    }

    package static func unexpectedValue(file: String, key: String, expected: String, got: String) -> Self {
        .invalidConfiguration(
            file: file, key: key.isEmpty ? wholeFile : key, problem: "it is not \(expected) but \(got)")
    }

    /// What stands for a key where all of a file is meant.
    static let wholeFile = "(whole file)"
}
