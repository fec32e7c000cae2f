internal import Tensors

/// A bounds-checked reader of one message in the Protocol Buffers wire format, over a part of a mapped file.
///
/// Fields come one after the other and nothing is copied but what is asked for. A reader of a nested message cannot
/// leave its parent. Format: https://protobuf.dev/programming-guides/encoding/.
struct ProtobufMessage {
    /// How a field's value is laid out.
    enum WireType: UInt64 {
        case varint = 0
        case fixed64 = 1
        case bytes = 2
        case fixed32 = 5
    }

    /// A field's value; `bytes` is a range of the file.
    enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case bytes(Range<Int>)
        case fixed32(UInt32)
    }

    /// One field, and where in the file it starts.
    struct Field {
        let number: Int
        let value: Value
        let offset: Int
    }

    private var reader: ByteReader

    /// A reader of `range`; of the whole file if it is nil.
    init(_ file: MemoryMappedFile, part: String, range: Range<Int>? = nil) throws {
        reader = try ByteReader(file, part: part, range: range)
    }

    /// The next field, or nil at the end of the message.
    mutating func next() throws -> Field? {
        let offset = reader.position
        guard let tag = try tag() else { return nil }
        return Field(number: tag.number, value: try value(tag.type), offset: offset)
    }

    /// The next field's number and layout, or nil at the end of the message; its value must be read next.
    mutating func tag() throws -> (number: Int, type: WireType)? {
        guard reader.remaining > 0 else { return nil }
        let offset = reader.position
        let tag = try varint()
        guard let number = Int(exactly: tag >> 3), (1...536_870_911).contains(number) else {
            throw reader.damaged(at: offset, expected: "a field number of 1...536870911", got: "\(tag >> 3)")
        }
        guard let type = WireType(rawValue: tag & 7) else {
            throw reader.damaged(at: offset, expected: "wire type 0, 1, 2 or 5", got: "\(tag & 7)")
        }
        return (number, type)
    }

    /// The value after a tag.
    mutating func value(_ type: WireType) throws -> Value {
        switch type {
        case .varint: return .varint(try varint())
        case .fixed64: return .fixed64(try reader.integer())
        case .fixed32: return .fixed32(try reader.integer())
        case .bytes:
            let count = Int(exactly: try varint()) ?? .max
            let start = reader.position
            try reader.skip(count)
            return .bytes(start..<start + count)
        }
    }

    private mutating func varint() throws -> UInt64 {
        let start = reader.position
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            let byte = try reader.integer(UInt8.self)
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw reader.damaged(at: start, expected: "an integer of at most 10 bytes", got: "a longer one")
    }
}

// MARK: - Values

extension ProtobufMessage {
    /// A reader of the message nested in `field`.
    func message(in field: Field, part: String) throws -> ProtobufMessage {
        try ProtobufMessage(reader.file, part: part, range: range(of: field))
    }

    /// The place of a field of bytes in the file.
    func range(of field: Field) throws -> Range<Int> {
        guard case .bytes(let range) = field.value else { throw unexpected(field, "bytes") }
        return range
    }

    /// The UTF-8 text of a field.
    func text(of field: Field) throws -> String {
        let range = try range(of: field)
        var text = try ByteReader(reader.file, part: reader.part, range: range)
        return try text.text(range.count)
    }

    /// The signed integer of a field.
    func integer(of field: Field) throws -> Int {
        guard case .varint(let value) = field.value else { throw unexpected(field, "an integer") }
        return Int(Int64(bitPattern: value))
    }

    /// Calls `body` with the integers of one occurrence of a repeated field, packed or not.
    func forEachInteger(of field: Field, _ body: (Int) throws -> Void) throws {
        guard case .bytes(let range) = field.value else { return try body(integer(of: field)) }
        var packed = try ProtobufMessage(reader.file, part: reader.part, range: range)
        while packed.reader.remaining > 0 { try body(Int(Int64(bitPattern: packed.varint()))) }
    }

    /// The error for something at `offset` that breaks the format's rules.
    func damaged(at offset: Int, expected: String, got: String) -> CheckpointError {
        reader.damaged(at: offset, expected: expected, got: got)
    }

    private func unexpected(_ field: Field, _ expected: String) -> CheckpointError {
        reader.damaged(
            at: field.offset, expected: "field \(field.number) to hold \(expected)", got: "another wire type")
    }
}
