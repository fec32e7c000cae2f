import Foundation

extension SweepReport {
    /// The report as a table for a terminal: what was asked, then a row for each model and budget.
    public var table: String {
        var lines = [
            "\(dataset.title): \(dataset.pictures) pictures, \(dataset.questions) questions, checksum "
                + dataset.checksum.prefix(16)
        ]
        if dataset.withoutPicture > 0 { lines.append("\(dataset.withoutPicture) examples without a picture left out") }
        if let scorer {
            lines.append("scored by \(scorer.rawValue); intervals of 95 %: \(intervalMethods.joined(separator: ", "))")
        } else {
            lines.append("no answers to compare with: cost only")
        }
        for curve in models {
            lines += ["", curve.summary]
            lines += Self.aligned([Self.headings] + curve.rows.map(\.cells))
            if types.count > 1 {
                lines += [""] + Self.aligned([["m"] + types] + curve.rows.map { typeCells($0) } + [majorityCells])
            }
            for row in curve.rows {
                for line in row.remarks { lines.append("  m \(row.visualTokens): \(line)") }
                if row.cutAnswers > 0 {
                    lines.append(
                        "  m \(row.visualTokens): \(row.cutAnswers) answers were cut at \(maximumTokens) tokens")
                }
            }
        }
        return lines.joined(separator: "\n")
    }

    /// The scores alone: of all questions, of yes and no, and by type.
    public var scores: String {
        models.flatMap { curve in
            curve.rows.flatMap { row in
                var lines: [String] = []
                if let score = row.score {
                    lines.append(
                        "\(Self.described(score)), \(score.interval.method.rawValue); \(row.questions) questions about "
                            + "\(dataset.pictures) pictures of \(dataset.title), \(row.visualTokens) visual tokens")
                }
                lines += row.remarks
                if types.count > 1 {
                    lines += types.compactMap { type in
                        row.byType?[type].map { "  \(type): \(Self.described($0)) of \($0.questions)" }
                    }
                }
                if row.cutAnswers > 0 { lines.append("\(row.cutAnswers) answers were cut at \(maximumTokens) tokens") }
                return lines + ["checksum \(dataset.checksum)"]
            }
        }.joined(separator: "\n")
    }

    static func described(_ score: ScoreSummary) -> String {
        "\(percent(score.score)) % (\(percent(score.interval.lower))-\(percent(score.interval.upper)))"
    }

    /// Types of questions that are scored, in the order of tables.
    var types: [String] { scorer == nil ? [] : dataset.questionsByType.keys.sorted() }

    /// The budget of a row and its scores by type.
    func typeCells(_ row: Row) -> [String] {
        ["\(row.visualTokens)"] + types.map { Self.percent(row.byType?[$0]?.score) }
    }

    /// What always giving the most frequent answer would score, by type.
    var majorityCells: [String] { ["most frequent"] + types.map { Self.percent(dataset.majorityByType[$0]) } }

    /// Names of the ways in which intervals were found.
    var intervalMethods: [String] {
        Set(models.flatMap { $0.rows.compactMap { $0.score?.interval.method.rawValue } }).sorted()
    }

    static let headings = [
        "m", "score", "95 %", "encode ms", "query ms", "prefill ms", "token ms", "first token ms", "GFLOP",
        "KV entries",
        "KV KiB",
    ]

    static func percent(_ share: Double?) -> String { number(share.map { 100 * $0 }, digits: 1) }

    static func number(_ value: Double?, digits: Int) -> String {
        value.map { String(format: "%.\(digits)f", $0) } ?? "-"
    }

    /// Rows of cells in columns, numbers to the right.
    private static func aligned(_ rows: [[String]]) -> [String] {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            zip(row, widths).map { String(repeating: " ", count: $1 - $0.count) + $0 }.joined(separator: "  ")
        }
    }
}

extension SweepReport.Dataset {
    /// Name and split.
    var title: String { split.map { "\(name) (\($0))" } ?? name }
}

extension SweepReport.Curve {
    /// A line about the model as a whole.
    var summary: String {
        var parts = ["\(name)", layout, "\(encodes) encodes"]
        parts.append("prompts share what was read \(reuse.map(\.rawValue).joined(separator: ", "))")
        if checkedAnswers > 0 {
            parts.append("\(sameAnswers) of \(checkedAnswers) answers read from the beginning are the same")
        }
        parts.append("at most \(peakRssBytes >> 20) MiB resident so far")
        if isUntrained { parts.append("random weights: its answers mean nothing") }
        return parts.joined(separator: "; ")
    }
}

extension SweepReport.Row {
    /// Lines about all questions: those of yes or no, and those in several arrangements.
    var remarks: [String] {
        let circular = circular.map {
            "all arrangements right: \(SweepReport.described($0)) of \($0.questions) questions"
        }
        return [yesNo?.line, circular].compactMap { $0 }
    }

    /// The cells under `SweepReport.headings`.
    var cells: [String] {
        func number(_ value: Double?, _ digits: Int) -> String { SweepReport.number(value, digits: digits) }
        let interval = score.map {
            "\(SweepReport.percent($0.interval.lower))-\(SweepReport.percent($0.interval.upper))"
        }
        return [
            "\(visualTokens)", SweepReport.percent(score?.score), interval ?? "-", number(milliseconds.encode, 2),
            number(milliseconds.queryTransformer, 2), number(milliseconds.prefill, 2),
            number(milliseconds.decodePerToken, 2), number(milliseconds.timeToFirstToken, 2),
            number(operations.map { $0.toFirstToken * 1e-9 }, 3), number(kvEntries, 1), number(kvBytes / 1024, 1),
        ]
    }
}

extension SweepReport.YesNo {
    /// Accuracy, precision, recall, F1 and the share of yes on a line.
    public var line: String {
        let parts = [
            ("accuracy", counts.accuracy), ("precision", precision), ("recall", recall), ("F1", f1), ("yes", yesRatio),
        ]
        return parts.map { "\($0) \(SweepReport.percent($1))" }.joined(separator: ", ")
            + (counts.unclear > 0 ? ", \(counts.unclear) neither yes nor no" : "")
    }
}
