/// Turns bytes that arrive in pieces into characters, never handing out half of one.
///
/// A byte that cannot belong to any valid character becomes one U+FFFD, as SentencePiece decodes byte pieces. With
/// `joinsBrokenCharacters`, the beginning of a character that does not go on is a single U+FFFD however many bytes it
/// has, as byte-level tokenizers, Python's `bytes.decode(errors: "replace")` and Unicode's recommendation have it.
struct UTF8Assembler: Sendable {
    private var pending: [UInt8] = []
    private let joinsBrokenCharacters: Bool

    init(joinsBrokenCharacters: Bool = false) { self.joinsBrokenCharacters = joinsBrokenCharacters }

    /// Whether no byte is held back.
    var isEmpty: Bool { pending.isEmpty }

    /// The bytes a character takes whose first byte is `byte`; 1 for a byte that begins none.
    static func length(startingWith byte: UInt8) -> Int {
        switch byte {
        case 0xC2...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...0xF4: 4
        default: 1
        }
    }

    /// Takes one more byte and returns the text that is certain by now, perhaps none.
    mutating func append(_ byte: UInt8) -> String {
        pending.append(byte)
        return drain(isFinal: false)
    }

    /// Takes more bytes and returns the text that is certain by now, perhaps none.
    mutating func append(_ bytes: [UInt8]) -> String {
        pending += bytes
        return drain(isFinal: false)
    }

    /// Returns what was held back, as U+FFFD.
    mutating func finish() -> String { drain(isFinal: true) }

    private mutating func drain(isFinal: Bool) -> String {
        var text = ""
        while let first = pending.first {
            let length = Self.length(startingWith: first)
            let valid = Self.validPrefix(pending, length: length)
            if valid == length {
                text += String(decoding: pending[..<length], as: UTF8.self)
                pending.removeFirst(length)
            } else if valid == pending.count, !isFinal {
                return text  // the start of a character: wait for the rest
            } else {
                text += "\u{FFFD}"
                pending.removeFirst(joinsBrokenCharacters ? max(1, valid) : 1)
            }
        }
        return text
    }

    /// How many of the first `length` bytes can stand so in a valid character; 0 when the first begins none.
    private static func validPrefix(_ bytes: [UInt8], length: Int) -> Int {
        guard length > 1 else { return bytes[0] < 0x80 ? 1 : 0 }
        var count = 1
        while count < min(length, bytes.count) {
            let allowed: ClosedRange<UInt8> =
                switch (count, bytes[0]) {
                case (1, 0xE0): 0xA0...0xBF  // no overlong forms
                case (1, 0xED): 0x80...0x9F  // no surrogates
                case (1, 0xF0): 0x90...0xBF  // no overlong forms
                case (1, 0xF4): 0x80...0x8F  // nothing above U+10FFFF
                default: 0x80...0xBF
                }
            guard allowed.contains(bytes[count]) else { break }
            count += 1
        }
        return count
    }
}
