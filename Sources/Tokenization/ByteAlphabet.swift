/// GPT-2's spelling of bytes as printable characters, in which byte-level vocabularies are written.
///
/// Printable bytes of Latin-1 stand for themselves; the others, in ascending order, are U+0100, U+0101 and so on, which
/// makes a space `Ġ` and a line feed `Ċ`.
/// Source: openai/gpt-2, `src/encoder.py`, `bytes_to_unicode`.
enum ByteAlphabet {
    /// The character of every byte.
    static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (UInt32(0)...255).map { byte in
            if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte) {
                return Unicode.Scalar(UInt8(byte))
            }
            defer { next += 1 }
            return Unicode.Scalar(next) ?? " "
        }
    }()

    /// By code point, the byte it stands for.
    private static let bytes: [UInt8?] = {
        var bytes = [UInt8?](repeating: nil, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar.value)] = UInt8(byte) }
        return bytes
    }()

    /// The bytes that `token` spells; nil when it holds another character.
    static func bytes(of token: some Sequence<Unicode.Scalar>) -> [UInt8]? {
        var result: [UInt8] = []
        for scalar in token {
            guard scalar.value < bytes.count, let byte = bytes[Int(scalar.value)] else { return nil }
            result.append(byte)
        }
        return result
    }
}
