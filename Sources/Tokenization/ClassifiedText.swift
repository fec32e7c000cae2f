/// A text as code points together with what the patterns of pre-tokenisers ask about them.
struct ClassifiedText {
    /// What a code point counts as; the classes exclude each other.
    enum Kind: UInt8 {
        /// `\p{L}`
        case letter
        /// `\p{N}`
        case number
        /// `\s` without the line breaks below: Unicode's White_Space.
        case space
        /// Carriage return and line feed, which are white space too.
        case lineBreak
        /// Everything else.
        case other

        /// Whether `\s` matches.
        var isWhitespace: Bool { self == .space || self == .lineBreak }
    }

    /// The code points.
    let scalars: [Unicode.Scalar]
    /// The kind of every code point.
    let kinds: [Kind]
    /// Where in the UTF-8 text every code point begins, and the end of the text.
    let offsets: [Int]

    init(_ text: String) {
        var scalars: [Unicode.Scalar] = []
        var kinds: [Kind] = []
        var offsets = [0]
        let count = text.utf8.count
        scalars.reserveCapacity(count)
        kinds.reserveCapacity(count)
        offsets.reserveCapacity(count + 1)
        var end = 0
        for scalar in text.unicodeScalars {
            scalars.append(scalar)
            kinds.append(Self.kind(of: scalar))
            end += UTF8.width(scalar)
            offsets.append(end)
        }
        self.scalars = scalars
        self.kinds = kinds
        self.offsets = offsets
    }

    /// The bytes of the text that a range of code points takes.
    func byteRange(_ range: Range<Int>) -> Range<Int> { offsets[range.lowerBound]..<offsets[range.upperBound] }

    static func kind(of scalar: Unicode.Scalar) -> Kind {
        switch scalar.value {
        case 0x0A, 0x0D: return .lineBreak
        case 0x09, 0x0B, 0x0C, 0x20: return .space
        case 0x30...0x39: return .number
        case 0x41...0x5A, 0x61...0x7A: return .letter
        case 0..<0x80: return .other
        default: break
        }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return .letter
        case .decimalNumber, .letterNumber, .otherNumber: return .number
        default: return scalar.properties.isWhitespace ? .space : .other
        }
    }
}
