import Tensors
import Training

/// A table in a file with tabs between its cells, whose first line names the columns.
///
/// A cell may stand in quotes, within which tabs and line breaks are text and a quote is written twice. The file is mapped;
/// of every row only its place is kept.
struct TabSeparatedFile: Sendable {
    /// A row by the names of its columns.
    struct Row {
        let place: String
        fileprivate let cells: [String]
        fileprivate let columns: [String: Int]

        /// The text of a cell; nil if there is no such column.
        subscript(column: String) -> String? { columns[column].map { cells[$0] } }
    }

    /// Longest row, in bytes.
    static let maximumRowBytes = 64 << 20

    private let file: MemoryMappedFile
    private let rows: [(bytes: Range<Int>, line: Int)]
    private let columns: [String: Int]

    /// Opens a table that has at least the given columns. O(bytes).
    /// - Throws: `DataError`.
    init(path: String, columns expected: [String]) throws {
        do { file = try MemoryMappedFile(path: path) } catch TensorError.unreadable(let path, let reason) {
            throw DataError.unreadable(path: path, reason: reason)
        }
        var rows = file.withBytes { Self.rows(of: $0) }
        guard !rows.isEmpty else { throw DataError.empty(source: path) }
        let header = try Self.cells(file, rows.removeFirst())
        let columns = Dictionary(header.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        let missing = expected.filter { columns[$0] == nil }
        guard missing.isEmpty, columns.count == header.count else {
            throw DataError.invalidExample(
                file: path, place: "line 1",
                expected:
                    "tabs between the names of columns, all different and \(expected.joined(separator: ", ")) among them",
                got: header.prefix(12).joined(separator: ", ").prefix(200).debugDescription)
        }
        guard !rows.isEmpty else { throw DataError.empty(source: path) }
        (self.rows, self.columns) = (rows, columns)
    }

    /// The path of the file.
    var path: String { file.path }
    /// The number of rows below the header.
    var count: Int { rows.count }
    /// Where a row begins, in words.
    func place(_ index: Int) -> String { "line \(rows[index].line)" }

    /// A row.
    /// - Throws: `DataError.invalidExample` with its line.
    func row(_ index: Int) throws -> Row {
        let cells = try Self.cells(file, rows[index])
        guard cells.count == columns.count else {
            throw DataError.invalidExample(
                file: path, place: place(index), expected: "\(columns.count) cells", got: "\(cells.count)")
        }
        return Row(place: place(index), cells: cells, columns: columns)
    }

    /// Cuts at line breaks that are not within quotes; blank lines are no rows.
    private static func rows(of bytes: RawSpan) -> [(Range<Int>, Int)] {
        var rows: [(Range<Int>, Int)] = []
        var (start, line, startLine) = (0, 1, 1)
        var (isQuoted, isBlank) = (false, true)
        // A quote opens where a cell begins; inside, every second one of a pair closes and opens again.
        var isCellStart = true
        for index in 0..<bytes.byteCount {
            switch bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self) {
            case 0x22:
                isBlank = false
                guard isQuoted || isCellStart else { continue }
                isQuoted.toggle()
                // The second quote of a pair opens the cell again.
                isCellStart = !isQuoted
            case 0x09:
                isCellStart = true
            case 0x0A:
                line += 1
                if isQuoted { continue }
                if !isBlank { rows.append((start..<index, startLine)) }
                (start, startLine, isBlank, isCellStart) = (index + 1, line, true, true)
            case 0x0D: continue
            default:
                isCellStart = false
                isBlank = false
            }
        }
        if !isBlank { rows.append((start..<bytes.byteCount, startLine)) }
        return rows
    }

    private static func cells(_ file: MemoryMappedFile, _ row: (bytes: Range<Int>, line: Int)) throws -> [String] {
        func invalid(_ expected: String, _ got: String) -> DataError {
            .invalidExample(file: file.path, place: "line \(row.line)", expected: expected, got: got)
        }
        guard row.bytes.count <= maximumRowBytes else {
            throw invalid("a row of at most \(maximumRowBytes) bytes", "\(row.bytes.count)")
        }
        var bytes = file.bytes(in: row.bytes)[...]
        if bytes.last == 0x0D { bytes.removeLast() }
        var cells: [String] = []
        func append(_ cell: some Collection<UInt8>) throws {
            guard let text = String(validating: cell, as: UTF8.self) else {
                throw invalid("text in UTF-8", "other bytes in cell \(cells.count + 1)")
            }
            cells.append(text)
        }
        while true {
            if bytes.first == 0x22 {
                var (cell, rest) = ([UInt8](), bytes.dropFirst())
                while true {
                    guard let quote = rest.firstIndex(of: 0x22) else { throw invalid("a closing quote", "the end") }
                    cell += rest[..<quote]
                    rest = rest[(quote + 1)...]
                    guard rest.first == 0x22 else { break }
                    cell.append(0x22)
                    rest = rest.dropFirst()
                }
                guard rest.isEmpty || rest.first == 0x09 else {
                    throw invalid("a tab after a closing quote", "more text")
                }
                try append(cell)
                bytes = rest
            } else {
                let end = bytes.firstIndex(of: 0x09) ?? bytes.endIndex
                try append(bytes[..<end])
                bytes = bytes[end...]
            }
            guard bytes.first == 0x09 else { return cells }
            bytes = bytes.dropFirst()
        }
    }
}
