package import Bytes
import ModelFiles
import Tensors

/// Where the records of a JSON or JSONL file lie: every line, or every element of the array that the file is or holds.
///
/// The file is mapped, not read into memory; of every record only its place is kept, so that any can be read at any time.
package struct RecordIndex: Sendable {
    /// Longest record, in bytes.
    package static let maximumRecordBytes = 16 << 20

    private let file: MemoryMappedFile
    private var records: [Record] = []

    private struct Record {
        var start: Int
        var count: Int
        var line: Int
    }

    /// The number of records.
    package var count: Int { records.count }

    /// Finds the records of the file at `path`; blank lines are none. O(bytes).
    ///
    /// - Parameter member: the key of the file's outermost object under which the array of records is; nil if the file is
    ///   that array, or has a record a line.
    /// - Throws: `DataError.unreadable`, `.empty`, or `.invalidExample` for a file that ends inside a record or holds no
    ///   array of that name.
    package init(path: String, member: String? = nil) throws {
        do { file = try MemoryMappedFile(path: path) } catch TensorError.unreadable(let path, let reason) {
            throw DataError.unreadable(path: path, reason: reason)
        }
        let (found, problem) = file.withBytes { Self.records(of: $0, member: member.map { Array($0.utf8) }) }
        if let problem {
            throw DataError.invalidExample(
                file: path, place: "line \(problem.line)", expected: problem.expected, got: problem.got)
        }
        guard !found.isEmpty else { throw DataError.empty(source: path) }
        records = found
    }

    /// The path of the file.
    package var path: String { file.path }
    /// Where a record begins, in words.
    package func place(_ index: Int) -> String { "line \(records[index].line)" }

    /// A record as JSON.
    /// - Throws: `DataError.invalidExample` with its line.
    package func value(at index: Int) throws -> JSONValue {
        let record = records[index]
        guard record.count <= Self.maximumRecordBytes else {
            throw DataError.invalidExample(
                file: path, place: place(index), expected: "at most \(Self.maximumRecordBytes) bytes",
                got: "\(record.count)")
        }
        let bytes = file.bytes(in: record.start..<record.start + record.count)
        do { return try JSONValue(parsing: bytes, source: path) } catch {
            guard case CheckpointError.invalidJSON(_, let line, let column, let reason) = error else { throw error }
            throw DataError.invalidExample(
                file: path, place: "line \(record.line + line - 1), column \(column)", expected: "valid JSON",
                got: reason)
        }
    }

    private typealias Problem = (line: Int, expected: String, got: String)

    private static func records(of bytes: RawSpan, member: [UInt8]?) -> ([Record], Problem?) {
        func byte(_ index: Int) -> UInt8 { bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self) }
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D || byte == 0x0A }
        var start = 0
        while start < bytes.byteCount, isSpace(byte(start)) { start += 1 }
        if let member {
            guard let array = array(under: member, from: start) else {
                let name = String(decoding: member, as: UTF8.self)
                return ([], (1, "an object with an array under \"\(name)\"", "none"))
            }
            return elements(from: array)
        }
        guard start < bytes.byteCount, byte(start) == UInt8(ascii: "[") else { return (lines(), nil) }
        return elements(from: start)

        func lines() -> [Record] {
            var (records, begin, line) = ([Record](), 0, 1)
            var isBlank = true
            for index in 0...bytes.byteCount {
                if index == bytes.byteCount || byte(index) == 0x0A {
                    if !isBlank { records.append(Record(start: begin, count: index - begin, line: line)) }
                    (begin, isBlank) = (index + 1, true)
                    line += 1
                } else if isBlank, !isSpace(byte(index)) {
                    isBlank = false
                }
            }
            return records
        }

        /// Where the array begins that the outermost object holds under a key. Keys are compared as they are written.
        func array(under key: [UInt8], from start: Int) -> Int? {
            var (depth, index) = (0, start)
            while index < bytes.byteCount {
                let current = byte(index)
                index += 1
                if current == UInt8(ascii: "{") || current == UInt8(ascii: "[") { depth += 1 }
                if current == UInt8(ascii: "}") || current == UInt8(ascii: "]") { depth -= 1 }
                guard current == 0x22 else { continue }
                let text = index
                while index < bytes.byteCount, byte(index) != 0x22 { index += byte(index) == 0x5C ? 2 : 1 }
                guard index < bytes.byteCount else { return nil }
                let isKey =
                    depth == 1 && index - text == key.count && key.indices.allSatisfy { byte(text + $0) == key[$0] }
                index += 1
                guard isKey else { continue }
                while index < bytes.byteCount, isSpace(byte(index)) || byte(index) == UInt8(ascii: ":") { index += 1 }
                if index < bytes.byteCount, byte(index) == UInt8(ascii: "[") { return index }
            }
            return nil
        }

        /// Cuts at the commas of the outermost array; what lies between is checked when it is parsed.
        func elements(from start: Int) -> ([Record], Problem?) {
            var (records, depth, line) = ([Record](), 0, 1)
            var (isText, isEscaped) = (false, false)
            var begin: (offset: Int, line: Int)?
            for index in 0..<bytes.byteCount {
                let current = byte(index)
                if current == 0x0A { line += 1 }
                if index < start { continue }
                func close() {
                    if let begun = begin {
                        records.append(Record(start: begun.offset, count: index - begun.offset, line: begun.line))
                    }
                    begin = nil
                }
                if depth == 0, index > start {
                    if member != nil { return (records, nil) }
                    if isSpace(current) { continue }
                    return (records, (line, "the end of the file after its array", "more text"))
                }
                if isText {
                    if isEscaped {
                        isEscaped = false
                    } else if current == 0x5C {
                        isEscaped = true
                    } else if current == 0x22 {
                        isText = false
                    }
                    continue
                }
                switch current {
                case UInt8(ascii: "["), UInt8(ascii: "{"):
                    if depth == 1, begin == nil { begin = (index, line) }
                    depth += 1
                case UInt8(ascii: "]"), UInt8(ascii: "}"):
                    depth -= 1
                    if depth == 0 { close() }
                case UInt8(ascii: ",") where depth == 1:
                    guard begin != nil else { return (records, (line, "an element before the comma", "none")) }
                    close()
                default:
                    if depth == 1, begin == nil, !isSpace(current) { begin = (index, line) }
                    if current == 0x22 { isText = true }
                }
            }
            return (records, depth == 0 ? nil : (line, "the end of the array", "the end of the file"))
        }
    }
}
