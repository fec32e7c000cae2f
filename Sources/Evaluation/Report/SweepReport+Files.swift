import Foundation
import ModelFiles

extension SweepReport {
    /// Writes `sweep.csv`, `sweep.json`, `report.html` and its first plot, `plot.svg`, into a directory, each complete or not at all.
    /// - Throws: `EvaluationError.unwritable`.
    public func write(to directory: String, examples: [SweepExample]) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        let page = HTMLReport(report: self, examples: examples)
        let files = [
            ("sweep.csv", Data(csv.utf8)), ("sweep.json", try encoder.encode(self) + Data("\n".utf8)),
            ("report.html", Data(page.text.utf8)), ("plot.svg", Data((page.plots.first?.file ?? "").utf8)),
        ]
        for (name, bytes) in files {
            let path = URL(filePath: directory).appending(path: name).path
            do { try AtomicFile(path: path).write { try $0.write(contentsOf: bytes) } } catch {
                throw EvaluationError.unwritable(path: path, reason: "\(error)")
            }
        }
    }

    /// A line for each model and budget, with headings. Scores are shares, times milliseconds, operations of a question.
    public var csv: String {
        var rows = [
            [
                "model", "visual_tokens", "questions", "score", "lower", "upper", "interval", "preprocess_ms",
                "encode_ms",
                "query_transformer_ms", "prefill_ms", "decode_ms_per_token", "time_to_first_token_ms",
                "shared_prefill_ms", "encode_flops", "query_transformer_flops", "prefill_flops",
                "decode_flops_per_token", "prompt_tokens", "kv_entries", "kv_bytes", "cut_answers", "encodes",
                "prefix_reuse", "data_checksum",
            ] + types.map { "score_\($0)" }
        ]
        func text(_ value: Double?) -> String { value.map { "\($0)" } ?? "" }
        for curve in models {
            for row in curve.rows {
                let (ms, flops) = (row.milliseconds, row.operations)
                var cells = [curve.path, "\(row.visualTokens)", "\(row.questions)"]
                cells += [row.score?.score, row.score?.interval.lower, row.score?.interval.upper].map(text)
                cells.append(row.score?.interval.method.rawValue ?? "")
                cells += [
                    ms.preprocess, ms.encode, ms.queryTransformer, ms.prefill, ms.decodePerToken, ms.timeToFirstToken,
                    row.sharedPrefillMilliseconds, flops?.encode, flops?.queryTransformer, flops?.prefill,
                    flops?.decodePerToken, row.promptTokens, row.kvEntries, row.kvBytes,
                ].map(text)
                cells += ["\(row.cutAnswers)", "\(curve.encodes)", curve.reuse.map(\.rawValue).joined(separator: ", ")]
                cells.append(dataset.checksum)
                rows.append(cells + types.map { text(row.byType?[$0]?.score) })
            }
        }
        return rows.map { $0.map(Self.quoted).joined(separator: ",") + "\n" }.joined()
    }

    /// A cell as RFC 4180 writes it.
    private static func quoted(_ cell: String) -> String {
        guard cell.contains(where: { ",\"\r\n".contains($0) || $0.isNewline }) else { return cell }
        return "\"" + cell.replacingOccurrences(of: "\"", with: "\"\"") + "\""
    }
}
