/// A cursor over a part of a file that cannot leave it.
///
/// Every binary format is read through it: a read that does not fit throws `Failure.outOfBounds` before anything is
/// allocated. `Failure` is the error of the target that reads.
package struct ByteReader<Source: ByteSource, Failure: ByteReadingError> {
    /// The whole file.
    package let source: Source
    /// What the file is called in errors.
    package let file: String
    /// What is being read, for errors: "header", "data.pkl".
    package let part: String
    /// The bytes of the file that may be read.
    package let range: Range<Int>
    /// Where in the file the next read begins.
    package internal(set) var position: Int

    /// A reader of `range`, which must lie inside the file; of the whole file if it is nil.
    @inlinable package init(_ source: Source, file: String, part: String, range: Range<Int>? = nil) throws(Failure) {
        let range = range ?? 0..<source.byteCount
        guard range.lowerBound >= 0, range.upperBound <= source.byteCount else {
            throw .outOfBounds(
                file: file, part: part, offset: range.lowerBound, wanted: range.count,
                available: max(0, source.byteCount - max(0, range.lowerBound)))
        }
        self.source = source
        self.file = file
        self.part = part
        self.range = range
        self.position = range.lowerBound
    }

    /// A reader of `count` bytes from `offset` of the file.
    @inlinable package init(_ source: Source, file: String, part: String, from offset: Int, count: Int) throws(Failure)
    {
        guard offset >= 0, count >= 0, offset <= source.byteCount, count <= source.byteCount - offset else {
            throw .outOfBounds(
                file: file, part: part, offset: offset, wanted: count,
                available: offset >= 0 ? max(0, source.byteCount - min(offset, source.byteCount)) : 0)
        }
        try self.init(source, file: file, part: part, range: offset..<offset + count)
    }

    /// Bytes that have not been read.
    @inlinable package var remaining: Int { range.upperBound - position }

    /// The next little-endian integer.
    @inlinable package mutating func integer<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type = Value.self
    ) throws(Failure) -> Value {
        let count = MemoryLayout<Value>.size
        try check(count)
        defer { position += count }
        return source.littleEndianInteger(at: position, as: type)
    }

    /// The next big-endian integer.
    @inlinable package mutating func bigEndian<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type = Value.self
    ) throws(Failure) -> Value {
        try integer(type).byteSwapped
    }

    /// The next little-endian 64-bit length or offset.
    @inlinable package mutating func length64() throws(Failure) -> Int {
        let value = try integer(UInt64.self)
        guard let length = Int(exactly: value) else { throw outOfBounds(wanted: .max) }
        return length
    }

    /// The next `count` bytes.
    @inlinable package mutating func bytes(_ count: Int) throws(Failure) -> [UInt8] {
        try check(count)
        defer { position += count }
        return source.bytes(in: position..<position + count)
    }

    /// The next `count` bytes as UTF-8.
    @inlinable package mutating func text(_ count: Int) throws(Failure) -> String {
        let start = position
        guard let text = String(validating: try bytes(count), as: UTF8.self) else {
            throw damaged(at: start, expected: "UTF-8 text", got: "other bytes")
        }
        return text
    }

    /// The text up to the next line feed, which is skipped.
    @inlinable package mutating func line(atMost limit: Int) throws(Failure) -> String {
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

    /// A reader of the next `count` bytes alone, which are passed over here.
    @inlinable package mutating func reader(_ count: Int) throws(Failure) -> ByteReader {
        let start = position
        try skip(count)
        return try ByteReader(source, file: file, part: part, range: start..<position)
    }

    /// Passes over `count` bytes.
    @inlinable package mutating func skip(_ count: Int) throws(Failure) {
        try check(count)
        position += count
    }

    /// The error for something at `offset` that breaks the format's rules.
    @inlinable package func damaged(at offset: Int? = nil, expected: String, got: String) -> Failure {
        .damaged(file: file, part: part, offset: offset ?? position, expected: expected, got: got)
    }

    @inlinable func check(_ count: Int) throws(Failure) {
        guard count >= 0, count <= remaining else { throw outOfBounds(wanted: count) }
    }

    @inlinable func outOfBounds(wanted: Int) -> Failure {
        .outOfBounds(file: file, part: part, offset: position, wanted: wanted, available: remaining)
    }
}
