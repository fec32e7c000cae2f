/// What keeps a model from loading or from answering.
public enum LLaVAError: Error, Equatable, CustomStringConvertible {
    /// A configuration value that is not implemented.
    case unsupported(key: String, value: String, supported: String)
    /// A file is not what the configuration says.
    case malformed(path: String, reason: String)
    /// The checkpoint has a tower by name only.
    case missingVisionTower(name: String, checkpoint: String)
    /// Images for a model without a vision tower.
    case textOnly(checkpoint: String)
    /// A key to override that nothing reads.
    case unknownKey(key: String, known: [String])
    /// Pixel values the tower does not take.
    case pixelValues(got: String, expected: String)
    /// An option that names files of no use to this model.
    case unusedOption(path: String, reason: String)
    /// The prompt marks another number of images than there are.
    case imageCount(placeholders: Int, images: Int)
    /// A token id outside the vocabulary.
    case tokenOutOfRange(id: Int, vocabSize: Int)
    /// Nothing to answer.
    case emptyPrompt
    /// More tokens than the decoder was made for.
    case tooLong(tokens: Int, limit: Int)
    /// The prompt led to logits that are not numbers.
    case notFinite
    /// A file of an assembled model is another than the one it was assembled from.
    case changedPart(path: String, expected: String, got: String)
    /// Nothing says how conversations with a model are written out.
    case missingChatTemplate(checkpoint: String)

    /// What went wrong, and what to do next.
    public var description: String {
        switch self {
        case .unsupported(let key, let value, let supported):
            "config.json: \(key) is \(value); supported: \(supported)"
        case .malformed(let path, let reason):
            "\(path): \(reason)"
        case .missingVisionTower(let name, let checkpoint):
            "\(checkpoint) names the vision tower \(name) but does not hold its weights; give the directory of the tower with --vision-tower DIR"
        case .textOnly(let checkpoint):
            "\(checkpoint) has no vision tower, so it cannot look at an image; leave --image out or choose another model"
        case .unknownKey(let key, let known):
            "config.json: no part of a model reads the key \(key); keys that can be set: \(known.joined(separator: ", "))"
        case .pixelValues(let got, let expected):
            "the pixel values are \(got), the vision tower takes \(expected)"
        case .unusedOption(let path, let reason):
            "\(path) would change nothing: \(reason); leave it out"
        case .imageCount(let placeholders, let images):
            "the prompt has \(placeholders) place\(placeholders == 1 ? "" : "s") for images, but \(images) \(images == 1 ? "was" : "were") given; write <image> (or -200 among ids) once for each image"
        case .tokenOutOfRange(let id, let vocabSize):
            "token \(id) is outside the vocabulary 0..<\(vocabSize)"
        case .emptyPrompt:
            "the question is empty; ask something, for example \"what is in the picture?\""
        case .tooLong(let tokens, let limit):
            "the sequence would be \(tokens) tokens long, the model was made for \(limit) (max_position_embeddings); ask for fewer visual tokens, a shorter question or a shorter answer"
        case .notFinite:
            "the model's logits are not numbers (NaN or infinity): its weights are damaged or overflow; fetch the checkpoint again"
        case .changedPart(let path, let expected, let got):
            "\(path) is not the file this model was assembled from: expected \(expected), got \(got); restore it, or assemble the model anew with vlm assemble"
        case .missingChatTemplate(let checkpoint):
            "\(checkpoint) does not say how conversations are written out (it has no chat template); name the template the model was trained with, for example --template chatml"
        }
    }
}
