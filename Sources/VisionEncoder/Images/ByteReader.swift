/// Bounds-checked reads of bytes from outside: nil where the bytes do not reach. Offsets count from the first byte.
struct ByteReader {
    enum Order { case bigEndian, littleEndian }

    private let bytes: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

    private init(slice: ArraySlice<UInt8>) { self.bytes = slice }

    var count: Int { bytes.count }

    func byte(at offset: Int) -> UInt8? {
        guard offset >= 0, offset < count else { return nil }
        return bytes[bytes.startIndex + offset]
    }

    /// An unsigned number of `width` bytes, at most 4.
    func integer(at offset: Int, width: Int, _ order: Order = .bigEndian) -> Int? {
        guard offset >= 0, offset <= count - width else { return nil }
        let number = bytes[(bytes.startIndex + offset)...].prefix(width)
        return order == .bigEndian
            ? number.reduce(0) { $0 << 8 | Int($1) }
            : number.reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    func matches(_ wanted: [UInt8], at offset: Int) -> Bool {
        offset >= 0 && offset <= count - wanted.count
            && bytes.dropFirst(offset).prefix(wanted.count).elementsEqual(wanted)
    }

    /// A reader of `count` bytes from `offset`, or nil if they are not all there.
    func slice(at offset: Int, count: Int) -> ByteReader? {
        guard offset >= 0, count >= 0, offset <= self.count, count <= self.count - offset else { return nil }
        return ByteReader(slice: bytes.dropFirst(offset).prefix(count))
    }
}
