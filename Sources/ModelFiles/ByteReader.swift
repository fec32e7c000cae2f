internal import Tensors

/// A cursor over a part of a mapped file that cannot leave it.
///
/// Everything this module reads goes through it: a read that does not fit throws `CheckpointError.outOfBounds` before
/// anything is allocated.
struct ByteReader {
    let file: MemoryMappedFile
    /// What is being read, for errors: "header", "data.pkl".
    let part: String
    /// The bytes of the file that may be read.
    let range: Range<Int>
    /// Where in the file the next read begins.
    private(set) var position: Int

    /// A reader of `range`, which must lie inside the file; of the whole file if it is nil.
    init(_ file: MemoryMappedFile, part: String, range: Range<Int>? = nil) throws {
        let range = range ?? 0..<file.byteCount
        guard range.lowerBound >= 0, range.upperBound <= file.byteCount else {
            throw CheckpointError.outOfBounds(
                file: file.path, part: part, offset: range.lowerBound, wanted: range.count,
                available: max(0, file.byteCount - max(0, range.lowerBound)))
        }
        self.file = file
        self.part = part
        self.range = range
        self.position = range.lowerBound
    }

    /// A reader of `count` bytes from `offset` of the file.
    init(_ file: MemoryMappedFile, part: String, from offset: Int, count: Int) throws {
        guard offset >= 0, count >= 0, offset <= file.byteCount, count <= file.byteCount - offset else {
            throw CheckpointError.outOfBounds(
                file: file.path, part: part, offset: offset, wanted: count,
                available: offset >= 0 ? max(0, file.byteCount - min(offset, file.byteCount)) : 0)
        }
        try self.init(file, part: part, range: offset..<offset + count)
    }

    /// Bytes that have not been read.
    var remaining: Int { range.upperBound - position }

    /// The next little-endian integer.
    mutating func integer<Value: FixedWidthInteger & BitwiseCopyable>(_ type: Value.Type = Value.self) throws -> Value {
        let count = MemoryLayout<Value>.size
        try check(count)
        defer { position += count }
        return file.littleEndianInteger(at: position, as: type)
    }

    /// The next little-endian 64-bit length or offset.
    mutating func length64() throws -> Int {
        let value = try integer(UInt64.self)
        guard let length = Int(exactly: value) else { throw outOfBounds(wanted: .max) }
        return length
    }

    /// The next `count` bytes.
    mutating func bytes(_ count: Int) throws -> [UInt8] {
        try check(count)
        defer { position += count }
        return file.bytes(in: position..<position + count)
    }

    /// The next `count` bytes as UTF-8.
    mutating func text(_ count: Int) throws -> String {
        let start = position
        guard let text = String(validating: try bytes(count), as: UTF8.self) else {
            throw damaged(at: start, expected: "UTF-8 text", got: "other bytes")
        }
        return text
    }

    /// The text up to the next line feed, which is skipped.
    mutating func line(atMost limit: Int) throws -> String {
        let start = position
        while try integer(UInt8.self) != 0x0A {
            guard position - start <= limit else {
                throw damaged(at: start, expected: "a line of at most \(limit) bytes", got: "a longer one")
            }
        }
        let end = position
        position = start
        defer { position = end }
        return try text(end - 1 - start)
    }

    /// Passes over `count` bytes.
    mutating func skip(_ count: Int) throws {
        try check(count)
        position += count
    }

    /// The error for something at `offset` that breaks the format's rules.
    func damaged(at offset: Int? = nil, expected: String, got: String) -> CheckpointError {
        .damaged(file: file.path, part: part, offset: offset ?? position, expected: expected, got: got)
    }

    private func check(_ count: Int) throws {
        guard count >= 0, count <= remaining else { throw outOfBounds(wanted: count) }
    }

    private func outOfBounds(wanted: Int) -> CheckpointError {
        .outOfBounds(file: file.path, part: part, offset: position, wanted: wanted, available: remaining)
    }
}

extension MemoryMappedFile {
    /// Maps the file at `path` for this module, whose errors are all `CheckpointError`s.
    static func open(_ path: String) throws -> MemoryMappedFile {
        guard !path.utf8.contains(0) else {
            throw CheckpointError.unreadable(path: path, reason: "the path holds a zero byte")
        }
        do {
            return try MemoryMappedFile(path: path)
        } catch TensorError.unreadable(let path, let reason) {
            throw CheckpointError.unreadable(path: path, reason: reason)
        }
    }
}
