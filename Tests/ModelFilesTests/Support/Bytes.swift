/// The bytes of an integer, least significant first.
func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

/// A safetensors file with this text as its header and so many bytes of elements, all zero.
func safetensors(_ header: String, byteCount: Int = 0) -> [UInt8] {
    littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + [UInt8](repeating: 0, count: byteCount)
}
