/// Bytes from outside that are read in place: a mapped file, or an array.
package protocol ByteSource {
    /// How many there are.
    var byteCount: Int { get }
    /// A copy of the bytes in `range`, which must lie inside.
    func bytes(in range: Range<Int>) -> [UInt8]
    /// The little-endian integer at `offset`, aligned or not; all of it must lie inside.
    func littleEndianInteger<Value: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as type: Value.Type) -> Value
}

extension [UInt8]: ByteSource {
    /// The number of elements.
    package var byteCount: Int { count }

    /// A copy of the elements in `range`.
    package func bytes(in range: Range<Int>) -> [UInt8] { Array(self[range]) }

    /// The little-endian integer at `offset`.
    package func littleEndianInteger<Value: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, as type: Value.Type
    ) -> Value {
        withUnsafeBytes { Value(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: type)) }
    }
}

/// What a target throws when bytes cannot be read: each has an enumeration of its own, whose cases are made here.
package protocol ByteReadingError: Error {
    /// A read of `wanted` bytes at `offset` of a file would leave it, or the part of it that is being read.
    static func outOfBounds(file: String, part: String, offset: Int, wanted: Int, available: Int) -> Self
    /// What lies at `offset` breaks the rules of the format.
    static func damaged(file: String, part: String, offset: Int, expected: String, got: String) -> Self
}

/// The error of bytes whose faults nobody is told of.
package enum ByteError: ByteReadingError {
    case outOfBounds(file: String, part: String, offset: Int, wanted: Int, available: Int)
    case damaged(file: String, part: String, offset: Int, expected: String, got: String)
}
