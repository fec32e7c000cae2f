import Foundation
import Training

/// MMBench: questions with up to four or more options, one right, as a table of text that holds the pictures too.
///
/// Columns are `index`, `question`, `image` (a PNG or JPEG in Base64, or the index of the row that has it), `A`, `B`, ...,
/// and optionally `hint`, `answer`, `category`. A circular evaluation asks a question once for each rotation of its options
/// and counts it if all answers are right; rows of a rotation have indices raised by 1,000,000 times its number.
/// Source: Liu et al., "MMBench: Is Your Multi-modal Model an All-around Player?" (arXiv 2307.06281), section 4.1.
struct MMBenchDataset: TrainingDataset {
    /// What an index is raised by for each rotation.
    static let rotationStep = 1_000_000

    private let table: TabSeparatedFile
    /// Rows of the same question: one, or one for each rotation of its options.
    private let groups: [[Int]]
    private let rowOfIndex: [Int: Int]
    /// Whether rotations are made of every row.
    private let isRotated: Bool

    init(path: String, isCircular: Bool) throws {
        table = try TabSeparatedFile(path: path, columns: ["index", "question", "image", "A", "B"])
        var groups: [[Int]] = []
        var (groupOfIndex, rows) = ([Int: Int](), [Int: Int]())
        for row in 0..<table.count {
            let index = try Self.index(of: table.row(row), table)
            guard rows.updateValue(row, forKey: index) == nil else {
                throw DataError.invalidExample(
                    file: path, place: table.place(row), expected: "an index of its own", got: "\(index) again")
            }
            let base = index % Self.rotationStep
            if let group = groupOfIndex[base] {
                groups[group].append(row)
            } else {
                groupOfIndex[base] = groups.count
                groups.append([row])
            }
        }
        // A file that was made for circular evaluation has the rotations already.
        isRotated = isCircular && groups.count == table.count
        (self.groups, rowOfIndex) = (groups, rows)
        for group in groups.indices { _ = try example(at: group) }
    }

    var name: String { URL(filePath: table.path).lastPathComponent }
    var count: Int { groups.count }

    func example(at index: Int) throws -> TrainingExample {
        let rows = groups[index]
        let turns = try rows.flatMap { try questions(of: $0, isAlone: rows.count == 1) }
        return try TrainingExample(
            image: picture(of: rows[0]), turns: turns, origin: "\(name) \(table.place(rows[0]))")
    }

    private func questions(of number: Int, isAlone: Bool) throws -> [QuestionAnswer] {
        let row = try table.row(number)
        let index = try Self.index(of: row, table)
        var options: [String] = []
        while options.count < 26, let option = Self.text(row, BenchmarkLayout.letter(options.count)) {
            options.append(option)
        }
        guard let question = Self.text(row, "question"), options.count >= 2 else {
            throw invalid(number, "a question with two options or more", "\(options.count) options")
        }
        let answer = try Self.text(row, "answer").map { text in
            guard let letter = options.indices.first(where: { BenchmarkLayout.letter($0) == text }) else {
                throw invalid(number, "the letter of an option under \"answer\"", text.debugDescription)
            }
            return letter
        }
        let hint = Self.text(row, "hint").map { "\($0)\n" } ?? ""
        let isCircular = isRotated || !isAlone
        return (0..<(isRotated ? options.count : 1)).map { round in
            let list = options.indices.map {
                "\n\(BenchmarkLayout.letter($0)). \(options[($0 + round) % options.count])"
            }
            var turn = QuestionAnswer(
                question: hint + question + list.joined() + BenchmarkLayout.letterAnswer,
                answer: answer.map { BenchmarkLayout.letter(($0 - round + options.count) % options.count) } ?? "",
                type: Self.text(row, "category") ?? "question", id: "\(index + round * Self.rotationStep)")
            turn.circle = isCircular ? "\(index % Self.rotationStep)" : nil
            return turn
        }
    }

    /// The picture of a row, which may stand in another one.
    private func picture(of number: Int) throws -> TrainingExample.Source {
        var number = number
        for _ in 0..<2 {
            let text = Self.text(try table.row(number), "image") ?? ""
            if text.utf8.count <= 16, let index = Int(text), let other = rowOfIndex[index] {
                number = other
                continue
            }
            guard let bytes = Data(base64Encoded: text), !bytes.isEmpty else {
                throw invalid(number, "a picture in Base64 under \"image\"", "\(text.utf8.count) other characters")
            }
            return .encoded([UInt8](bytes), name: "\(name) \(table.place(number))")
        }
        throw invalid(number, "a picture under \"image\"", "the index of another row again")
    }

    private func invalid(_ row: Int, _ expected: String, _ got: String) -> DataError {
        .invalidExample(file: table.path, place: table.place(row), expected: expected, got: got)
    }

    private static func index(of row: TabSeparatedFile.Row, _ table: TabSeparatedFile) throws -> Int {
        guard let index = Int(row["index"] ?? ""), (0..<1 << 40).contains(index) else {
            throw DataError.invalidExample(
                file: table.path, place: row.place, expected: "a number below 2^40 under \"index\"",
                got: (row["index"] ?? "").debugDescription)
        }
        return index
    }

    /// A cell; nil if it is empty or says so.
    private static func text(_ row: TabSeparatedFile.Row, _ column: String) -> String? {
        guard let text = row[column], !["", "nan", "none"].contains(text.lowercased()) else { return nil }
        return text
    }
}
