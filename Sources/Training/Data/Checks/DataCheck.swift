import Foundation
public import Tokenization

/// Goes over a data set before anybody trains on it: what is in it, what of it will be learned, and what is wrong.
public struct DataCheck: Sendable {
    /// What was found.
    public struct Report: Sendable, Equatable, Codable {
        /// Examples looked at.
        public var examples = 0
        /// Questions with answers.
        public var turns = 0
        /// Examples with a picture.
        public var images = 0
        /// Examples passed over because of their pictures.
        public var skippedImages = 0
        /// Ids of all conversations; an image is one.
        public var tokens = 0
        /// Ids that are learned.
        public var supervisedTokens = 0
        /// Ids of the longest conversation.
        public var longest = 0
        /// Examples of more ids than the model takes.
        public var tooLong = 0
        /// Ids of the template before replies that upstream's rules would learn besides.
        public var markerTokens = 0
        /// Examples in a template without a rule of upstream's, where the labels stand alone.
        public var unconfirmed = 0
        /// Questions by type.
        public var turnsByType: [String: Int] = [:]
        /// Different answers by type.
        public var answersByType: [String: Int] = [:]
        /// Some conversations, what is learned of them between `⟦` and `⟧`.
        public var samples: [String] = []
        /// The first problems, each with its place.
        public var problems: [String] = []
        /// The number of all problems.
        public var problemCount = 0

        /// Whether training may begin.
        public var isSound: Bool { problemCount == 0 && supervisedTokens > 0 }
    }

    /// How conversations are written out.
    public var template: ConversationTemplate
    /// The tokenizer of the model.
    public var tokenizer: any Tokenizer
    /// The most ids a conversation may have, visual tokens counted as `visualTokens`.
    public var maximumLength: Int
    /// The ids that an image takes.
    public var visualTokens: Int
    /// Whether pictures are decoded; if not, only their presence is checked.
    public var decodesImages: Bool
    /// Whether bad pictures are counted and passed over.
    public var skipsBadImages: Bool
    /// How many conversations to show.
    public var sampleCount: Int
    /// How many problems to tell in words.
    public var problemLimit: Int

    /// A check with a model's template and tokenizer.
    public init(
        template: ConversationTemplate, tokenizer: any Tokenizer, maximumLength: Int = .max, visualTokens: Int = 1,
        decodesImages: Bool = true, skipsBadImages: Bool = false, sampleCount: Int = 3, problemLimit: Int = 20
    ) {
        self.template = template
        self.tokenizer = tokenizer
        self.maximumLength = maximumLength
        self.visualTokens = visualTokens
        self.decodesImages = decodesImages
        self.skipsBadImages = skipsBadImages
        self.sampleCount = sampleCount
        self.problemLimit = problemLimit
    }

    /// Goes over a data set, or the first `limit` examples of it; `progress` is told how many are done.
    ///
    /// What is wrong with examples goes into the report; nothing is thrown.
    public func run(
        _ dataset: some TrainingDataset, limit: Int = .max, progress: (Int) -> Void = { _ in }
    ) -> Report {
        var report = Report()
        var answers: [String: Set<String>] = [:]
        func problem(_ place: String, _ text: String) {
            report.problemCount += 1
            if report.problems.count < problemLimit { report.problems.append("\(place): \(text)") }
        }
        for index in 0..<min(limit, dataset.count) {
            report.examples += 1
            var place = "\(dataset.name), example \(index)"
            do {
                let example = try dataset.example(at: index)
                place = example.origin
                guard try imageIsUsable(example, &report) else { continue }
                if example.turns.isEmpty {
                    problem(place, "it has no question and answer. Take it out.")
                    continue
                }
                for turn in example.turns {
                    report.turns += 1
                    report.turnsByType[turn.type, default: 0] += 1
                    answers[turn.type, default: []].insert(turn.answer)
                    if turn.answer.isEmpty {
                        problem(place, "the answer to \(turn.question.debugDescription) is empty.")
                    }
                }
                for turns in conversations(of: example) {
                    let (labels, result) = try LabelCheck.check(
                        turns, template: template, hasImage: example.image != nil, tokenizer: tokenizer)
                    let found = add(labels, result, to: &report)
                    for text in found { problem(place, text) }
                }
            } catch {
                problem(place, "\(error)")
            }
            progress(index + 1)
        }
        report.answersByType = answers.mapValues(\.count)
        if report.examples == 0 { problem(dataset.name, "it has no examples.") }
        return report
    }

    /// A caption template takes one conversation per answer, all others take the turns together.
    private func conversations(of example: TrainingExample) -> [[TrainingTurn]] {
        let turns = example.trainingTurns(in: template)
        guard template.style == .plain else { return [turns] }
        return stride(from: 1, to: turns.count, by: 2).map { [turns[0], turns[$0]] }
    }

    private func imageIsUsable(_ example: TrainingExample, _ report: inout Report) throws -> Bool {
        guard let image = example.image else { return true }
        report.images += 1
        guard case .file(let path) = image else { return true }
        do {
            if decodesImages {
                _ = try image.decoded()
            } else if !FileManager.default.fileExists(atPath: path) {
                throw DataError.unreadable(path: path, reason: "there is no such file")
            }
            return true
        } catch {
            guard skipsBadImages else { throw error }
            report.skippedImages += 1
            return false
        }
    }

    /// Counts a conversation, and says what is wrong with it.
    private func add(_ labels: TracedLabels, _ result: LabelCheck, to report: inout Report) -> [String] {
        var problems: [String] = []
        let images = labels.ids.count { $0 == ImagePrompt.imageID }
        let length = labels.ids.count + images * (visualTokens - 1)
        report.tokens += labels.ids.count
        report.supervisedTokens += labels.supervisedCount
        report.longest = max(report.longest, length)
        if length > maximumLength {
            report.tooLong += 1
            problems.append("it takes \(length) ids, the model at most \(maximumLength). Shorten it.")
        }
        if labels.supervisedCount == 0 { problems.append("nothing of it would be learned.") }
        switch result {
        case .agree(let markers): report.markerTokens += markers
        case .noRule: report.unconfirmed += 1
        case .mismatch(let counted, let total):
            problems.append(
                "by the reference's rules its rounds have \(counted) ids, but the whole has \(total): the reference would "
                    + "learn nothing of it. Look for role names or separators in the text: \(Self.marked(labels, tokenizer))"
            )
        case .differentIDs(let position):
            problems.append(
                "a control token is spelled out in what was said (id \(position)); it is kept as text. "
                    + "Take it out if it is not meant: \(Self.marked(labels, tokenizer))")
        case .differentLabels(let position, let role):
            problems.append(
                "id \(position) is \(role == .reply ? "" : "not ")part of a reply, but the reference's rules "
                    + "\(role == .reply ? "ignore" : "learn") it: \(Self.marked(labels, tokenizer))")
        }
        if report.samples.count < sampleCount { report.samples.append(Self.marked(labels, tokenizer)) }
        return problems
    }

    /// The text of some ids, what is learned of it between `⟦` and `⟧`.
    public static func marked(_ labels: TracedLabels, _ tokenizer: any Tokenizer) -> String {
        var text = ""
        var run: [Int] = []
        var isLearned = false
        func flush() {
            guard !run.isEmpty else { return }
            let written = (try? tokenizer.decode(run, skippingSpecialTokens: false)) ?? "\(run)"
            text += isLearned ? "⟦\(written)⟧" : written
            run = []
        }
        for (id, role) in zip(labels.ids, labels.roles) {
            if id == ImagePrompt.imageID {
                flush()
                text += ImagePrompt.imageToken
                continue
            }
            if (role == .reply) != isLearned {
                flush()
                isLearned = role == .reply
            }
            run.append(id)
        }
        flush()
        return text
    }
}
