/// A bounds-checked reader of the Protocol Buffers wire format, over bytes that may be hostile.
///
/// It knows only what a SentencePiece model needs: varints, fixed-width values and length-delimited fields. A reader
/// covers one message; `message(in:)` gives a reader of a nested one that can never see past its parent.
/// Format: https://protobuf.dev/programming-guides/encoding/.
struct ProtobufReader {
    /// One field of a message: its number, its value, and where in the file it starts.
    struct Field {
        let number: Int
        let value: Value
        let offset: Int
    }

    /// A field's payload by wire type; `bytes` is a range of the file.
    enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case bytes(Range<Int>)
        case fixed32(UInt32)
    }

    /// The file's name, for errors.
    let file: String
    /// The message's place in the file, for errors: `pieces[17]`.
    let message: String
    private let bytes: [UInt8]
    private let end: Int
    private var position: Int

    /// A reader of the whole of `bytes`.
    init(_ bytes: [UInt8], file: String, message: String) {
        self.init(bytes, range: 0..<bytes.count, file: file, message: message)
    }

    private init(_ bytes: [UInt8], range: Range<Int>, file: String, message: String) {
        self.bytes = bytes
        self.file = file
        self.message = message
        position = range.lowerBound
        end = range.upperBound
    }

    /// The next field, or nil at the end of the message.
    mutating func nextField() throws(TokenizationError) -> Field? {
        guard position < end else { return nil }
        let offset = position
        let tag = try varint(of: "a field's tag", from: offset)
        guard let number = Int(exactly: tag >> 3), (1...536_870_911).contains(number) else {
            throw damaged("a field's tag", at: offset, "field number \(tag >> 3) is out of range")
        }
        let name = "field \(number)"
        let value: Value
        switch tag & 7 {
        case 0: value = .varint(try varint(of: name, from: offset))
        case 1: value = .fixed64(try fixed(8, of: name, from: offset))
        case 2:
            let count = try varint(of: name, from: offset)
            guard count <= UInt64(end - position) else {
                throw damaged(name, at: offset, "it claims \(count) bytes where \(end - position) are left")
            }
            value = .bytes(position..<position + Int(count))
            position += Int(count)
        case 5: value = .fixed32(UInt32(try fixed(4, of: name, from: offset)))
        case let type: throw damaged(name, at: offset, "wire type \(type) is not one of 0, 1, 2 and 5")
        }
        return Field(number: number, value: value, offset: offset)
    }

    /// A reader of the message nested in `field`.
    func message(in field: Field, named name: String) throws(TokenizationError) -> ProtobufReader {
        ProtobufReader(bytes, range: try range(of: field, named: name), file: file, message: name)
    }

    /// The UTF-8 text of `field`.
    func string(of field: Field, named name: String) throws(TokenizationError) -> String {
        guard let text = String(validating: bytes[try range(of: field, named: name)], as: UTF8.self) else {
            throw damaged(name, at: field.offset, "it is not valid UTF-8")
        }
        return text
    }

    /// The bytes of `field`, as a range of the file.
    func range(of field: Field, named name: String) throws(TokenizationError) -> Range<Int> {
        guard case .bytes(let range) = field.value else { throw wrongType(field, name, "length-delimited (2)") }
        return range
    }

    /// The signed 32-bit integer or enumeration of `field`.
    func int(of field: Field, named name: String) throws(TokenizationError) -> Int {
        guard case .varint(let value) = field.value else { throw wrongType(field, name, "varint (0)") }
        return Int(Int32(truncatingIfNeeded: value))
    }

    /// The Boolean of `field`.
    func bool(of field: Field, named name: String) throws(TokenizationError) -> Bool {
        guard case .varint(let value) = field.value else { throw wrongType(field, name, "varint (0)") }
        return value != 0
    }

    /// The single-precision number of `field`; only finite ones are accepted.
    func float(of field: Field, named name: String) throws(TokenizationError) -> Float {
        guard case .fixed32(let bits) = field.value else { throw wrongType(field, name, "32-bit (5)") }
        let value = Float(bitPattern: bits)
        guard value.isFinite else { throw damaged(name, at: field.offset, "\(value) is not a finite number") }
        return value
    }

    private mutating func varint(of name: String, from offset: Int) throws(TokenizationError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while position < end {
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
            guard shift < 64 else { throw damaged(name, at: offset, "a varint is longer than 10 bytes") }
        }
        throw damaged(name, at: offset, "the message ends inside a varint")
    }

    private mutating func fixed(_ count: Int, of name: String, from offset: Int) throws(TokenizationError) -> UInt64 {
        guard end - position >= count else {
            throw damaged(name, at: offset, "it needs \(count) bytes where \(end - position) are left")
        }
        defer { position += count }
        return bytes[position..<position + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private func wrongType(_ field: Field, _ name: String, _ expected: String) -> TokenizationError {
        damaged(name, at: field.offset, "its wire type is not \(expected)")
    }

    private func damaged(_ field: String, at offset: Int, _ problem: String) -> TokenizationError {
        .damagedModel(file: file, field: "\(message).\(field)", offset: offset, problem: problem)
    }
}
