/// Text drawn from letters, white space, several scripts, emoji and any code point.
enum RandomText {
    private static let common = Array("abcdefghij the  star red .,!?\n\t09日本é<s>_".unicodeScalars)

    static func draw(length: Int, using generator: inout some RandomNumberGenerator) -> String {
        var scalars = String.UnicodeScalarView()
        while scalars.count < length {
            if Int.random(in: 0..<5, using: &generator) > 0 {
                scalars.append(common.randomElement(using: &generator) ?? "a")
            } else if let scalar = Unicode.Scalar(UInt32.random(in: 0...0x10FFFF, using: &generator)) {
                scalars.append(scalar)
            }
        }
        return String(scalars)
    }
}
