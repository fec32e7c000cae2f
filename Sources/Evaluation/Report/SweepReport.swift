/// Quality and cost of models at several budgets of visual tokens: what `sweep.json` holds.
public struct SweepReport: Sendable, Equatable, Codable {
    /// The data set.
    public var dataset: Dataset
    /// How answers were scored; nil where there is nothing to compare with.
    public var scorer: Scorer?
    /// The most tokens of an answer.
    public var maximumTokens: Int
    /// "portable", "avx2" or "avx512".
    public var kernels: String
    /// Threads.
    public var threads: Int
    /// A curve for each model.
    public var models: [Curve]

    /// What was asked.
    public struct Dataset: Sendable, Equatable, Codable {
        /// Its name.
        public var name: String
        /// Which part of it.
        public var split: String?
        /// What it was drawn or shuffled with.
        public var seed: UInt64?
        /// `DatasetChecksum` of what was asked.
        public var checksum: String
        /// Pictures.
        public var pictures: Int
        /// Questions.
        public var questions: Int
        /// Questions by type.
        public var questionsByType: [String: Int]
        /// Share of the most frequent answer of each type.
        public var majorityByType: [String: Double]
        /// Examples that were left out because they have no picture.
        public var withoutPicture: Int
    }

    /// A model at its budgets.
    public struct Curve: Sendable, Equatable, Codable {
        /// What it is called in tables: the last part of its path, numbered if two are the same.
        public var name: String
        /// Where it lies.
        public var path: String
        /// What kind of checkpoint it is.
        public var layout: String
        /// Whether its weights are random.
        public var isUntrained: Bool
        /// The largest number of visual tokens, M; nil where the number is fixed.
        public var maximumVisualTokens: Int?
        /// How often a picture went through the vision tower: once for each picture.
        public var encodes: Int
        /// How prompts shared what the decoder had read of them.
        public var reuse: [PrefixReuse]
        /// Largest resident size of the process until the last picture; models that came before count as well.
        public var peakRssBytes: Int
        /// Answers that were also found from an empty cache.
        public var checkedAnswers: Int
        /// How many of them have the same tokens.
        public var sameAnswers: Int
        /// A row for each budget, from the smallest on.
        public var rows: [Row]
    }

    /// A model at one budget.
    public struct Row: Sendable, Equatable, Codable {
        /// Visual tokens of each view.
        public var visualTokens: Int
        /// Questions.
        public var questions: Int
        /// The score of all questions.
        public var score: ScoreSummary?
        /// The score by type of question.
        public var byType: [String: ScoreSummary]?
        /// Questions that come in several arrangements, of which all must be answered right.
        public var circular: ScoreSummary?
        /// What became of questions of yes or no.
        public var yesNo: YesNo?
        /// Answers that the limit on tokens cut.
        public var cutAnswers: Int
        /// Median times of single questions.
        public var milliseconds: Milliseconds
        /// Mean time of reading what was not shared of a prompt.
        public var sharedPrefillMilliseconds: Double
        /// Mean operations of single questions, a multiply-add being two; nil where none was read from the beginning.
        public var operations: Operations?
        /// Mean tokens of a prompt.
        public var promptTokens: Double
        /// Mean number of keys in all layers together when a prompt was read.
        public var kvEntries: Double
        /// Mean bytes of keys and values then.
        public var kvBytes: Double
    }

    /// Precision and recall of the answer yes.
    public struct YesNo: Sendable, Equatable, Codable {
        /// The counts.
        public var counts: YesNoCounts
        /// Share of right ones among the answers yes.
        public var precision: Double?
        /// Share of the questions to be answered yes that were.
        public var recall: Double?
        /// Harmonic mean of both.
        public var f1: Double?
        /// Share of the answers yes.
        public var yesRatio: Double?
    }

    /// Where the time of a single question goes; nil where no prompt was read from the beginning.
    public struct Milliseconds: Sendable, Equatable, Codable {
        /// Resizing and normalising.
        public var preprocess: Double
        /// The vision tower.
        public var encode: Double
        /// The query transformer or the projector.
        public var queryTransformer: Double?
        /// The prompt through the decoder.
        public var prefill: Double?
        /// Each further token.
        public var decodePerToken: Double?
        /// From the decoded picture to the first token.
        public var timeToFirstToken: Double?
    }

    /// Operations of a single question.
    public struct Operations: Sendable, Equatable, Codable {
        /// The vision tower.
        public var encode: Double
        /// The query transformer or the projector.
        public var queryTransformer: Double
        /// The prompt through the decoder.
        public var prefill: Double
        /// Each further token; nil if no answer had one.
        public var decodePerToken: Double?
        /// Up to the first token.
        public var toFirstToken: Double { encode + queryTransformer + prefill }
    }
}
