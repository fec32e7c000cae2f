/// A prompt as ids, with a placeholder where an image's visual tokens are to stand.
///
/// Source: haotian-liu/LLaVA v1.2.2, `llava/mm_utils.py`, `tokenizer_image_token`.
public struct ImagePrompt: Sendable, Equatable {
    /// The text that stands for an image.
    public static let imageToken = "<image>"
    /// The id that stands for an image; no vocabulary holds it.
    public static let imageID = -200

    /// A stretch of a prompt.
    public enum Segment: Sendable, Equatable {
        /// Ids to be embedded.
        case text([Int])
        /// The image with this number, from 0.
        case image(Int)
    }

    /// The ids, `imageID` for every image.
    public let ids: [Int]

    /// Encodes `prompt`, in all of which control tokens count.
    public init(_ prompt: String, tokenizer: any Tokenizer) {
        self.init(PromptText(template: prompt), tokenizer: tokenizer)
    }

    /// Encodes `prompt`: every part between image tokens is encoded as a text of its own, with its own leading space, and
    /// of the BOS ids only the first is kept.
    ///
    /// Upstream also takes ids away where a tokenizer that adds no BOS meets one in the text; they are kept here.
    public init(_ prompt: PromptText, tokenizer: any Tokenizer) {
        let parts = prompt.pieces(separatedBy: Self.imageToken).map { tokenizer.encode($0) }
        let bos = tokenizer.addsBOS ? parts[0].prefix(1) : []
        var ids = Array(bos)
        for (index, part) in parts.enumerated() {
            if index > 0 { ids.append(Self.imageID) }
            ids += part.dropFirst(bos.count)
        }
        self.ids = ids
    }

    /// How many images the prompt asks for.
    public var imageCount: Int { ids.count { $0 == Self.imageID } }

    /// The prompt cut at its images, in order; empty stretches are left out.
    public var segments: [Segment] {
        var segments: [Segment] = []
        var images = 0
        for (index, part) in ids.split(separator: Self.imageID, omittingEmptySubsequences: false).enumerated() {
            if index > 0 {
                segments.append(.image(images))
                images += 1
            }
            if !part.isEmpty { segments.append(.text(Array(part))) }
        }
        return segments
    }
}
