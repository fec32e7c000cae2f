extension MemoryMappedFile {
    /// A copy of the bytes in `range`, which must lie inside the file.
    package func bytes(in range: Range<Int>) -> [UInt8] {
        precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "bytes \(range) of \(byteCount)")
        return withExtendedLifetime(self) {
            Array(UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
        }
    }

    /// The little-endian integer at `offset`, aligned or not; all of it must lie inside the file.
    package func littleEndianInteger<Value: FixedWidthInteger & BitwiseCopyable>(
        at offset: Int, as type: Value.Type
    ) -> Value {
        let size = MemoryLayout<Value>.size
        precondition(offset >= 0 && size <= byteCount && offset <= byteCount - size, "\(size) bytes at \(offset)")
        return withExtendedLifetime(self) { Value(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: type)) }
    }
}
