public import Tokenization

/// What the two ways of making labels say about a conversation.
public enum LabelCheck: Sendable, Equatable {
    /// Both learn the same ids. Upstream's rules may learn a few more ids of the template before a reply: how many.
    case agree(markerIDs: Int)
    /// There is no rule for the template; the traced labels stand alone.
    case noRule
    /// By upstream's sums the rounds do not add up, so that by its rules nothing would be learned.
    case mismatch(counted: Int, total: Int)
    /// What was said spells out a control token, so that upstream's ids differ at a position.
    case differentIDs(position: Int)
    /// An id is learned by one way and not by the other.
    case differentLabels(position: Int, traced: TracedLabels.Role)

    /// Whether a sample can be trained on without a doubt.
    public var isSound: Bool {
        switch self {
        case .agree, .noRule: true
        default: false
        }
    }

    /// Compares the labels of a conversation made in two ways.
    ///
    /// - Throws: As `TracedLabels` and `LabelMask`, except for templates that have no masking rule.
    public static func check(
        _ turns: [TrainingTurn], template: ConversationTemplate, hasImage: Bool, tokenizer: any Tokenizer
    ) throws -> (labels: TracedLabels, result: LabelCheck) {
        let traced = try TracedLabels(of: turns, template: template, hasImage: hasImage, tokenizer: tokenizer)
        switch template.style {
        case .single, .llama3: return (traced, .noRule)
        default: break
        }
        let mask = try LabelMask.sample(of: turns, template: template, hasImage: hasImage, tokenizer: tokenizer)
        if let mismatch = mask.mismatch {
            return (traced, .mismatch(counted: mismatch.counted, total: mismatch.total))
        }
        return (traced, compare(traced, mask))
    }

    static func compare(_ traced: TracedLabels, _ mask: LabelMask.Sample) -> LabelCheck {
        if traced.ids != mask.ids {
            let common = zip(traced.ids, mask.ids).prefix { $0 == $1 }.count
            return .differentIDs(position: common)
        }
        var markers = 0
        for (position, role) in traced.roles.enumerated() {
            let isLearned = mask.labels[position] != LabelMask.ignored
            switch role {
            case .reply where !isLearned: return .differentLabels(position: position, traced: role)
            case .context where isLearned:
                // Upstream's rule for ChatML leaves the last id of a role's marker learned.
                guard traced.roles.indices.contains(position + 1), traced.roles[position + 1] == .reply else {
                    return .differentLabels(position: position, traced: role)
                }
                markers += 1
            default: break
            }
        }
        return .agree(markerIDs: markers)
    }
}
