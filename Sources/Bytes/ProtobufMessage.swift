/// A bounds-checked reader of one message in the Protocol Buffers wire format, over a part of a file.
///
/// Fields come one after the other and nothing is copied but what is asked for. A reader of a nested message cannot
/// leave its parent. Errors name the message, the field and where that starts.
/// Format: https://protobuf.dev/programming-guides/encoding/.
package struct ProtobufMessage<Source: ByteSource, Failure: ByteReadingError> {
    /// How a field's value is laid out.
    package enum WireType: UInt64 {
        case varint = 0
        case fixed64 = 1
        case bytes = 2
        case fixed32 = 5
    }

    /// A field's value; `bytes` is a range of the file.
    package enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case bytes(Range<Int>)
        case fixed32(UInt32)
    }

    /// One field, and where in the file it starts.
    package struct Field {
        package let number: Int
        package let value: Value
        package let offset: Int
    }

    /// The number and layout of a field, and where in the file it starts.
    package struct Tag {
        package let number: Int
        package let type: WireType
        let offset: Int
    }

    private var reader: ByteReader<Source, Failure>

    /// The message's place in the file, for errors: `pieces[17]`.
    package var part: String { reader.part }

    /// A reader of `range`; of the whole file if it is nil.
    package init(_ source: Source, file: String, part: String, range: Range<Int>? = nil) throws(Failure) {
        reader = try ByteReader(source, file: file, part: part, range: range)
    }

    /// The next field, or nil at the end of the message.
    package mutating func next() throws(Failure) -> Field? {
        guard let tag = try tag() else { return nil }
        return Field(number: tag.number, value: try value(tag), offset: tag.offset)
    }

    /// The next field's number and layout, or nil at the end of the message; its value must be read next.
    package mutating func tag() throws(Failure) -> Tag? {
        guard reader.remaining > 0 else { return nil }
        let offset = reader.position
        let tag = try varint(of: nil, from: offset)
        guard let number = Int(exactly: tag >> 3), (1...536_870_911).contains(number) else {
            throw damaged(nil, at: offset, expected: "a field number of 1...536870911", got: "\(tag >> 3)")
        }
        guard let type = WireType(rawValue: tag & 7) else {
            throw damaged(number, at: offset, expected: "wire type 0, 1, 2 or 5", got: "\(tag & 7)")
        }
        return Tag(number: number, type: type, offset: offset)
    }

    /// The value after a tag.
    package mutating func value(_ tag: Tag) throws(Failure) -> Value {
        switch tag.type {
        case .varint: return .varint(try varint(of: tag.number, from: tag.offset))
        case .fixed64:
            try check(8, tag)
            return .fixed64(try reader.integer())
        case .fixed32:
            try check(4, tag)
            return .fixed32(try reader.integer())
        case .bytes:
            let count = Int(exactly: try varint(of: tag.number, from: tag.offset)) ?? .max
            try check(count, tag)
            let start = reader.position
            try reader.skip(count)
            return .bytes(start..<start + count)
        }
    }

    private func check(_ count: Int, _ tag: Tag) throws(Failure) {
        guard count <= reader.remaining else {
            throw .outOfBounds(
                file: reader.file, part: place(tag.number), offset: tag.offset, wanted: count,
                available: reader.remaining)
        }
    }

    private mutating func varint(of number: Int?, from offset: Int) throws(Failure) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard reader.remaining > 0 else {
                throw .outOfBounds(file: reader.file, part: place(number), offset: offset, wanted: 1, available: 0)
            }
            let byte = try reader.integer(UInt8.self)
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw damaged(number, at: offset, expected: "an integer of at most 10 bytes", got: "a longer one")
    }

    /// A field in words; nil stands for one whose number is not known yet.
    private func place(_ number: Int?) -> String { "\(part).\(number.map { "field \($0)" } ?? "a field's tag")" }

    private func damaged(_ number: Int?, at offset: Int, expected: String, got: String) -> Failure {
        .damaged(file: reader.file, part: place(number), offset: offset, expected: expected, got: got)
    }
}

// MARK: - Values

extension ProtobufMessage {
    /// A reader of the message nested in `field`.
    package func message(in field: Field, part: String) throws(Failure) -> ProtobufMessage {
        try ProtobufMessage(reader.source, file: reader.file, part: part, range: range(of: field))
    }

    /// The place of a field of bytes in the file. `name` is the field's in errors, here and below.
    package func range(of field: Field, named name: String? = nil) throws(Failure) -> Range<Int> {
        guard case .bytes(let range) = field.value else { throw unexpected(field, name, "bytes") }
        return range
    }

    /// The UTF-8 text of a field.
    package func text(of field: Field, named name: String? = nil) throws(Failure) -> String {
        let bytes = reader.source.bytes(in: try range(of: field, named: name))
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw damaged(field, name, expected: "UTF-8 text", got: "other bytes")
        }
        return text
    }

    /// The signed integer of a field.
    package func integer(of field: Field, named name: String? = nil) throws(Failure) -> Int {
        guard case .varint(let value) = field.value else { throw unexpected(field, name, "an integer") }
        return Int(Int64(bitPattern: value))
    }

    /// The signed 32-bit integer or enumeration of a field.
    package func integer32(of field: Field, named name: String? = nil) throws(Failure) -> Int {
        Int(Int32(truncatingIfNeeded: try integer(of: field, named: name)))
    }

    /// The Boolean of a field.
    package func bool(of field: Field, named name: String? = nil) throws(Failure) -> Bool {
        try integer(of: field, named: name) != 0
    }

    /// The single-precision number of a field; only finite ones are accepted.
    package func float(of field: Field, named name: String? = nil) throws(Failure) -> Float {
        guard case .fixed32(let bits) = field.value else { throw unexpected(field, name, "a 32-bit number") }
        let value = Float(bitPattern: bits)
        guard value.isFinite else { throw damaged(field, name, expected: "a finite number", got: "\(value)") }
        return value
    }

    /// Calls `body` with the integers of one occurrence of a repeated field, packed or not.
    package func forEachInteger(of field: Field, _ body: (Int) throws -> Void) throws {
        guard case .bytes = field.value else { return try body(integer(of: field)) }
        var packed = try message(in: field, part: part)
        while packed.reader.remaining > 0 {
            try body(Int(Int64(bitPattern: packed.varint(of: field.number, from: packed.reader.position))))
        }
    }

    /// The error for a field that breaks the format's rules.
    package func damaged(_ field: Field, _ name: String? = nil, expected: String, got: String) -> Failure {
        .damaged(
            file: reader.file, part: name.map { "\(part).\($0)" } ?? place(field.number), offset: field.offset,
            expected: expected, got: got)
    }

    private func unexpected(_ field: Field, _ name: String?, _ expected: String) -> Failure {
        damaged(field, name, expected: expected, got: "another wire type")
    }
}
