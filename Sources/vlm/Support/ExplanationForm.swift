import Evaluation
import Foundation
import LLaVAPipeline
import ModelFiles
import Tensors
import VisionEncoder

/// The form in which `ask --explain` says what an answer depends on.
enum ExplanationForm {
    case picture, page

    /// The form that a file's name asks for; nil for other names.
    init?(file: String) {
        switch URL(filePath: file).pathExtension.lowercased() {
        case "png": self = .picture
        case "html", "htm": self = .page
        default: return nil
        }
    }

    /// Explains an answer and writes the file, complete or not at all.
    func write(
        _ assistant: Assistant, question: String, ids: [Int], answer: [Int], of visual: ImageOptions.Visual,
        to file: String
    ) throws {
        guard let vision = assistant.model.vision else { throw LLaVAError.textOnly(checkpoint: assistant.model.path) }
        // The end of the answer is explained only if there is nothing else.
        let words = answer.filter { !assistant.endTokens.contains($0) }
        let explanation = try Explanation(
            assistant, question: question, ids: ids, answer: words.isEmpty ? Array(answer.prefix(1)) : words,
            features: visual.features, budget: visual.budget,
            picture: SeenPicture.view(visual.image.pixelValues[0], vision.imageProcessor))
        let bytes =
            switch self {
            case .picture: Data(try ExplanationPicture(explanation).image.pngBytes())
            case .page: Data(try ExplanationPage(explanation).text.utf8)
            }
        try AtomicFile(path: file).write { try $0.write(contentsOf: bytes) }
        if words.count > Explanation.maximumTokens {
            Terminal.note("note: the first \(Explanation.maximumTokens) tokens of the answer are explained")
        }
        Terminal.note("wrote \(file)")
    }
}
