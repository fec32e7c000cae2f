import Foundation

/// A sweep as one page that needs nothing else: plots, the table, and questions with their answers.
struct HTMLReport {
    let report: SweepReport
    let examples: [SweepExample]

    /// The page.
    var text: String {
        HTMLPage.text(
            title: title, style: Self.style,
            body: """
                <h1>\(title.escaped)</h1>
                <p>\(summary.escaped)</p>
                <p class="fine">Checksum of the questions and pictures: <code>\(report.dataset.checksum.escaped)</code></p>
                \(models)
                <h2>Quality and cost</h2>
                \(legend)
                <div class="plots">
                \(plots.map(figure).joined(separator: "\n"))
                </div>
                <h2>Every budget</h2>
                \(tables)
                \(questions)
                """)
    }

    private var title: String { "Visual tokens: \(report.dataset.title)" }

    private var summary: String {
        let data = report.dataset
        var text = "\(data.questions) questions about \(data.pictures) pictures"
        if data.withoutPicture > 0 { text += " (\(data.withoutPicture) examples without a picture left out)" }
        guard let scorer = report.scorer else { return text + ". There are no answers to compare with: cost only." }
        return text + ", scored by \(scorer.rawValue), with intervals of 95 % "
            + "(\(report.intervalMethods.joined(separator: ", "))). " + "\(report.kernels) kernels, "
            + "\(report.threads) threads."
    }

    private var models: String {
        "<ul>" + report.models.map { "<li>\($0.summary.escaped)</li>" }.joined() + "</ul>"
    }

    private var notes: String {
        "Times are medians of single questions: query transformer and prompt of those that were read from the beginning "
            + "(first token = preprocessing + encode + query + prefill, from the decoded picture on). GFLOP counts the "
            + "multiplications and additions of matrix products, attention and convolutions up to the first token. KV is "
            + "what all layers hold together when the prompt was read."
    }

    private var legend: String {
        guard report.models.count > 1 else { return "" }
        let items = report.models.enumerated().map {
            "<span class=\"curve c\($0 % Plot.colours)\"><svg viewBox=\"0 0 24 8\" class=\"key\"><line x1=\"0\" x2=\"24\" "
                + "y1=\"4\" y2=\"4\"/><circle cx=\"12\" cy=\"4\" r=\"3.5\"/></svg>\($1.name.escaped)</span>"
        }
        return "<p class=\"legend\">\(items.joined(separator: "\n"))</p>"
    }

    private static let tokens = "visual tokens"

    /// Score against tokens, time and operations; without scores, cost against tokens.
    var plots: [Plot] {
        func plot(
            _ title: String, _ xTitle: String, isShare: Bool, x: (SweepReport.Row) -> Double?,
            y: (SweepReport.Row) -> (value: Double, lower: Double?, upper: Double?)?
        ) -> Plot {
            Plot(
                title: title, xTitle: xTitle,
                series: report.models.map { curve in
                    Plot.Series(
                        name: curve.name,
                        points: curve.rows.compactMap { row in
                            guard let x = x(row), let y = y(row) else { return nil }
                            let value = isShare ? SweepReport.percent(y.value) + " %" : Plot.short(y.value)
                            return (x, y.value, y.lower, y.upper, "\(curve.name), \(row.visualTokens) tokens: \(value)")
                        })
                }, isShare: isShare, isSpread: xTitle == Self.tokens)
        }
        func score(_ row: SweepReport.Row) -> (value: Double, lower: Double?, upper: Double?)? {
            row.score.map { ($0.score, $0.interval.lower, $0.interval.upper) }
        }
        let time = plot(
            "Milliseconds to the first token against visual tokens", Self.tokens, isShare: false,
            x: { Double($0.visualTokens) }, y: { row in row.milliseconds.timeToFirstToken.map { ($0, nil, nil) } })
        let memory = plot(
            "Keys in the cache against visual tokens", Self.tokens, isShare: false,
            x: { Double($0.visualTokens) }, y: { ($0.kvEntries, nil, nil) })
        guard report.scorer != nil else { return [time, memory] }
        return [
            plot(
                "Score against visual tokens", Self.tokens, isShare: true, x: { Double($0.visualTokens) },
                y: score),
            plot(
                "Score against time to the first token", "milliseconds to the first token", isShare: true,
                x: { $0.milliseconds.timeToFirstToken }, y: score),
            plot(
                "Score against operations to the first token", "GFLOP to the first token", isShare: true,
                x: { $0.operations.map { $0.toFirstToken * 1e-9 } }, y: score), time, memory,
        ]
    }

    private func figure(_ plot: Plot) -> String {
        "<figure><figcaption>\(plot.title.escaped)</figcaption>\(plot.svg)</figure>"
    }

    private var tables: String {
        let remarks = report.models.flatMap { curve in
            curve.rows.flatMap { row in row.remarks.map { "\(curve.name), m \(row.visualTokens): \($0)" } }
        }
        let types = report.types
        return table(SweepReport.headings, \.cells)
            + (remarks.isEmpty ? "" : "<ul>" + remarks.map { "<li>\($0.escaped)</li>" }.joined() + "</ul>")
            + "<p class=\"fine\">\(notes.escaped)</p>"
            + (types.count > 1
                ? "<h2>Score by type of question</h2>"
                    + table(["m"] + types, report.typeCells, last: report.majorityCells) : "")
    }

    /// A row for each budget of each model.
    private func table(
        _ headings: [String], _ cells: (SweepReport.Row) -> [String], last: [String]? = nil
    ) -> String {
        let hasNames = report.models.count > 1
        func line(_ tag: String, _ cells: [String]) -> String {
            "<tr>" + cells.map { "<\(tag)>\($0.escaped)</\(tag)>" }.joined() + "</tr>"
        }
        let body = report.models.flatMap { curve in
            curve.rows.map { line("td", (hasNames ? [curve.name] : []) + cells($0)) }
        }
        let end = last.map { line("td", (hasNames ? [""] : []) + $0) } ?? ""
        let head = line("th", (hasNames ? ["model"] : []) + headings)
        return "<div class=\"scroll\"><table><thead>\(head)</thead><tbody>\(body.joined(separator: "\n"))\(end)</tbody>"
            + "</table></div>"
    }

    private var questions: String {
        guard !examples.isEmpty else { return "" }
        return "<h2>Questions</h2><div class=\"cards\">\(examples.map(card).joined(separator: "\n"))</div>"
    }

    private func card(_ example: SweepExample) -> String {
        let picture = Data(example.png).base64EncodedString()
        var parts = [
            "<article><img alt=\"\" src=\"data:image/png;base64,\(picture)\"><div>",
            "<h3>\(example.question.escaped)</h3>",
        ]
        let expected = example.references.isEmpty ? "" : ": \(example.references.joined(separator: ", "))"
        parts.append("<p class=\"fine\">\((example.type + expected).escaped)</p>")
        for answers in example.answers {
            if example.answers.count > 1 { parts.append("<p class=\"fine\">\(answers.model.escaped)</p>") }
            let flips = Dictionary(uniqueKeysWithValues: answers.flips.map { ($0.visualTokens, $0.isRight) })
            let items = Self.runs(answers).map { run in
                let mark = run.score.map { $0 >= 0.5 ? "right" : "wrong" } ?? "plain"
                let flip = flips[run.first].map { $0 ? " flip" : " flip back" } ?? ""
                let range = run.first == run.last ? "\(run.first)" : "\(run.first)-\(run.last)"
                let sign = ["right": "✓ ", "wrong": "✗ "][mark] ?? ""
                return "<li class=\"\(mark)\(flip)\"><b>\(range)</b><span>\(sign)\(run.text.escaped)</span></li>"
            }
            parts.append("<ol>\(items.joined())</ol>")
            if !answers.flips.isEmpty {
                let words = answers.flips.map { "\($0.isRight ? "right" : "wrong") from \($0.visualTokens) tokens on" }
                parts.append("<p class=\"fine\">\(words.joined(separator: ", "))</p>")
            }
        }
        return parts.joined() + "</div></article>"
    }

    /// Neighbouring budgets with the same answer.
    private static func runs(
        _ answers: SweepExample.Answers
    ) -> [(first: Int, last: Int, text: String, score: Double?)] {
        answers.byBudget.reduce(into: []) { runs, answer in
            if let last = runs.indices.last, runs[last].text == answer.text, runs[last].score == answer.score {
                runs[last].last = answer.visualTokens
            } else {
                runs.append((answer.visualTokens, answer.visualTokens, answer.text, answer.score))
            }
        }
    }

    private static let style = """
        :root { --fine: #5b5b60; --card: #f6f6f8; --right: #17692f; --wrong: #a3261d; }
        @media (prefers-color-scheme: dark) {
          :root { --fine: #a6a6ad; --card: #1e1e22; --right: #5fd083; --wrong: #ff8a80; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
        main { max-width: 1200px; margin: 0 auto; padding: 16px; overflow-wrap: anywhere; }
        h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2rem; }
        h3 { font-size: 1rem; margin: 0; }
        ul { padding-left: 1.2rem; }
        .fine { color: var(--fine); font-size: .875rem; margin: .25rem 0; }
        .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 16px; }
        figure { margin: 0; min-width: 0; } figcaption { font-size: .9rem; font-weight: 600; }
        svg { display: block; width: 100%; height: auto; }
        .legend { display: flex; flex-wrap: wrap; gap: 4px 20px; } .legend span { display: flex; align-items: center; gap: 6px; }
        .key { width: 24px; height: 8px; flex: none; }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
        th, td { padding: 4px 8px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
        .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 16px; }
        article { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 12px; display: flex;
          gap: 12px; align-items: flex-start; min-width: 0; }
        article img { width: 112px; flex: none; border-radius: 4px; } article div { min-width: 0; }
        ol { list-style: none; margin: .25rem 0; padding: 0; font-size: .9rem; }
        ol li { padding-left: 8px; border-left: 3px solid var(--line); display: grid; grid-template-columns: 4em 1fr; }
        ol span { min-width: 0; }
        .right { border-color: var(--right); } .wrong { border-color: var(--wrong); }
        .flip { margin-top: 4px; font-weight: 600; }
        """
}
