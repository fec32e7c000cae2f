import Foundation
import LLaVAPipeline
import Tensors
import Training

extension SweepReport {
    /// The report of a sweep.
    /// - Parameters:
    ///   - records: what came of every picture of every model.
    ///   - scorer: how answers are compared; passed over where there are no answers to compare with.
    ///   - split: which part of the data set it was.
    ///   - seed: what its order was drawn with.
    public init(
        _ sweep: Sweep, _ records: [PictureRecord], scorer: Scorer, split: String? = nil, seed: UInt64? = nil
    ) {
        let set = sweep.set
        let context = ComputeContext.current
        dataset = Dataset(
            name: set.name, split: split, seed: seed, checksum: set.checksum, pictures: set.items.count,
            questions: set.questionCount, questionsByType: set.questionsByType,
            majorityByType: set.majorityByType, withoutPicture: set.withoutPicture)
        self.scorer = set.hasAnswers ? scorer : nil
        maximumTokens = sweep.maximumTokens
        kernels = context.kernels.name
        threads = context.pool.threadCount
        let names = Self.names(of: sweep.assistants.map(\.model.path))
        models = sweep.assistants.enumerated().map { number, assistant in
            Curve(
                names[number], assistant.model, records.filter { $0.model == number }, set,
                set.hasAnswers ? scorer : nil)
        }
    }

    /// Last parts of paths, as many as tell them apart; numbered where the paths are the same.
    static func names(of paths: [String]) -> [String] {
        let parts = paths.map { URL(filePath: $0).standardizedFileURL.pathComponents }
        let longest = parts.map(\.count).max() ?? 1
        let names = (1...max(1, longest)).lazy.map { count in
            parts.map { $0.suffix(count).joined(separator: "/") }
        }
        if let unique = names.first(where: { Set($0).count == paths.count }) { return unique }
        let last = parts.map { $0.last ?? "" }
        return last.enumerated().map { index, name in
            last.count { $0 == name } == 1 ? name : "\(name) (\(last[...index].count { $0 == name }))"
        }
    }
}

extension SweepReport.Curve {
    fileprivate init(
        _ name: String, _ model: LLaVAModel, _ records: [PictureRecord], _ set: EvaluationSet, _ scorer: Scorer?
    ) {
        self.name = name
        path = model.path
        layout = "\(model.layout)"
        isUntrained = model.config.isUntrained
        maximumVisualTokens = model.maximumVisualTokens
        encodes = records.reduce(0) { $0 + $1.encodes }
        reuse = Set(records.map(\.reuse)).sorted { $0.rawValue < $1.rawValue }
        peakRssBytes = records.map(\.peakRssBytes).max() ?? 0
        let timed = records.flatMap(\.timed)
        checkedAnswers = timed.count
        sameAnswers = timed.count { $0.isSameAnswer }
        rows = Set(records.flatMap { $0.answers.map(\.visualTokens) }).sorted().map {
            SweepReport.Row(visualTokens: $0, records, set, scorer)
        }
    }
}

extension SweepReport.Row {
    init(visualTokens: Int, _ records: [PictureRecord], _ set: EvaluationSet, _ scorer: Scorer?) {
        self.visualTokens = visualTokens
        let all = records.flatMap { record in
            record.answers.filter { $0.visualTokens == visualTokens }.map { (picture: record.picture, answer: $0) }
        }
        questions = all.count
        if let scorer {
            var scores: [(picture: Int, score: Double)] = []
            var types: [String: [(picture: Int, score: Double)]] = [:]
            var circles: [String: (picture: Int, score: Double)] = [:]
            var counts = YesNoCounts()
            for (picture, answer) in all {
                let turn = set.items[picture].turns[answer.question]
                let score = (picture, scorer.score(answer.text, references: turn.references))
                scores.append(score)
                types[turn.type, default: []].append(score)
                if let circle = turn.circle {
                    circles[circle] = (picture, min(circles[circle]?.score ?? 1, score.1))
                }
                if scorer == .yesNo { counts.add(answer.text, reference: turn.references.first ?? "") }
            }
            score = ScoreSummary(scores)
            circular = ScoreSummary(circles.sorted { $0.key < $1.key }.map(\.value))
            byType = types.compactMapValues { ScoreSummary($0) }
            if scorer == .yesNo { yesNo = SweepReport.YesNo(counts) }
        }
        cutAnswers = all.count { $0.answer.isCut }
        let answers = all.map(\.answer)
        sharedPrefillMilliseconds = answers.map(\.prefillMilliseconds).mean
        promptTokens = answers.map { Double($0.promptTokens) }.mean
        kvEntries = answers.map { Double($0.kvEntries) }.mean
        kvBytes = answers.map { Double($0.kvBytes) }.mean

        let timed = records.flatMap(\.timed).filter { $0.visualTokens == visualTokens }
        let steps = answers.reduce(0) { $0 + $1.decodeSteps }
        milliseconds = SweepReport.Milliseconds(
            preprocess: records.map(\.preprocessMilliseconds).median, encode: records.map(\.encodeMilliseconds).median,
            queryTransformer: timed.isEmpty ? nil : timed.map(\.queryTransformerMilliseconds).median,
            prefill: timed.isEmpty ? nil : timed.map(\.prefillMilliseconds).median,
            decodePerToken: steps == 0 ? nil : answers.reduce(0) { $0 + $1.decodeMilliseconds } / Double(steps))
        if let transformer = milliseconds.queryTransformer, let prefill = milliseconds.prefill {
            milliseconds.timeToFirstToken = milliseconds.preprocess + milliseconds.encode + transformer + prefill
            let timedSteps = timed.reduce(0) { $0 + $1.decodeSteps }
            let decode = timed.reduce(0) { $0 + $1.decoderOperations - $1.prefillOperations }
            operations = SweepReport.Operations(
                encode: records.map { Double($0.encodeOperations) }.mean,
                queryTransformer: timed.map { Double($0.queryTransformerOperations) }.mean,
                prefill: timed.map { Double($0.prefillOperations) }.mean,
                decodePerToken: timedSteps == 0 ? nil : Double(decode) / Double(timedSteps))
        }
    }
}

extension SweepReport.YesNo {
    /// The ratios of counts.
    public init(_ counts: YesNoCounts) {
        self.init(
            counts: counts, precision: counts.precision, recall: counts.recall, f1: counts.f1, yesRatio: counts.yesRatio
        )
    }
}

extension [Double] {
    /// The mean; 0 of nothing.
    var mean: Double { isEmpty ? 0 : reduce(0, +) / Double(count) }

    /// The middle one, or the mean of the two in the middle; 0 of nothing.
    var median: Double {
        guard !isEmpty else { return 0 }
        let sorted = sorted()
        return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2
    }
}
