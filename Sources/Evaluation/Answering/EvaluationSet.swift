public import Training

/// The questions of a data set that a model is asked, picture by picture, and their checksum.
public struct EvaluationSet: Sendable {
    /// The data set's name.
    public let name: String
    /// What is asked about one picture: the questions of an example, or of all examples that name the same file.
    public struct Item: Sendable {
        /// Index in the data set of the first example with the picture.
        public let index: Int
        /// The questions, each with an id: the data set's, or the example's index and the question's number in it.
        public fileprivate(set) var turns: [QuestionAnswer]
        /// Where each question comes from, for errors.
        public fileprivate(set) var origins: [String]
    }

    /// The pictures with their questions, in the order they are asked in.
    public let items: [Item]
    /// Examples that were left out because they have no picture.
    public let withoutPicture: Int
    /// Whether there is an answer to every question; if not, there is none to any.
    public let hasAnswers: Bool
    /// `DatasetChecksum` of what is asked: questions, answers and pixels.
    public let checksum: String
    private let dataset: any TrainingDataset

    /// Questions of a data set.
    ///
    /// Every picture is decoded once for the checksum, so that a broken one shows before any work is done.
    /// - Parameters:
    ///   - limit: the most questions, more only to ask the last one in all of its arrangements; nil for all.
    ///   - shuffleSeed: what the order of the examples is drawn with; nil leaves them in theirs.
    /// - Throws: `EvaluationError.noPictures` and `.partlyAnswered`, and what reading the data set throws.
    public init(_ dataset: any TrainingDataset, limit: Int? = nil, shuffleSeed: UInt64? = nil) throws {
        self.dataset = dataset
        name = dataset.name
        let order = shuffleSeed.map { ExampleOrder(count: dataset.count, seed: $0, epoch: 0) }
        var (items, withoutPicture, questions) = ([Item](), 0, 0)
        var itemOfFile: [String: Int] = [:]
        for place in 0..<dataset.count where questions < limit ?? .max {
            let index = order?[place] ?? place
            let example = try dataset.example(at: index)
            guard let image = example.image else {
                withoutPicture += 1
                continue
            }
            var count = min((limit ?? .max) - questions, example.turns.count)
            // A question is asked in all of its arrangements or not at all.
            while (1..<example.turns.count).contains(count), let circle = example.turns[count].circle,
                circle == example.turns[count - 1].circle
            { count += 1 }
            let turns = example.turns.prefix(count).enumerated().map { number, turn in
                var named = turn
                named.id = turn.id ?? "\(index)-\(number)"
                return named
            }
            guard !turns.isEmpty else { continue }
            let origins = turns.map { _ in example.origin }
            questions += turns.count
            if case .file(let path) = image {
                if let known = itemOfFile[path] {
                    items[known].turns += turns
                    items[known].origins += origins
                    continue
                }
                itemOfFile[path] = items.count
            }
            items.append(Item(index: index, turns: turns, origins: origins))
        }
        guard !items.isEmpty else {
            throw EvaluationError.noPictures(source: dataset.name, examples: dataset.count)
        }
        var checksum = DatasetChecksum()
        for item in items {
            var example = try dataset.example(at: item.index)
            example.turns = item.turns
            try checksum.add(example)
        }
        self.items = items
        self.withoutPicture = withoutPicture
        self.checksum = checksum.hexadecimal()
        let unanswered = items.flatMap { item in
            zip(item.turns, item.origins).filter { $0.0.references.isEmpty }.map(\.1)
        }
        hasAnswers = unanswered.isEmpty
        if let first = unanswered.first, unanswered.count < questions {
            throw EvaluationError.partlyAnswered(
                source: dataset.name, answered: questions - unanswered.count, questions: questions, first: first)
        }
    }

    /// Questions.
    public var questionCount: Int { items.reduce(0) { $0 + $1.turns.count } }

    /// Questions of each type.
    public var questionsByType: [String: Int] { turnsByType.mapValues(\.count) }

    /// The share of the most frequent answer among the questions of each type: what always giving it would score.
    public var majorityByType: [String: Double] {
        turnsByType.mapValues { turns in
            let answers = Dictionary(grouping: turns) { $0.answer }
            return Double(answers.values.map(\.count).max() ?? 0) / Double(turns.count)
        }
    }

    private var turnsByType: [String: [QuestionAnswer]] { Dictionary(grouping: items.flatMap(\.turns), by: \.type) }

    /// The picture of an item.
    /// - Throws: what reading the data set and decoding the picture throws.
    public func picture(of item: Item) throws -> TrainingExample.Source? { try dataset.example(at: item.index).image }

    /// Checks that a scorer can compare with every answer.
    /// - Throws: `EvaluationError.unscorable`.
    public func check(_ scorer: Scorer) throws {
        for item in items {
            for (turn, origin) in zip(item.turns, item.origins) {
                try scorer.check(references: turn.references, origin: origin)
            }
        }
    }
}
