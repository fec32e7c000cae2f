/// String operations that compare code points, as Python does, where Swift's own compare by canonical equivalence and
/// never match inside a grapheme.
extension String {
    /// The parts between occurrences of `separator`, empty ones included, as Python's `split`.
    func pieces(separatedBy separator: String) -> [String] {
        let bytes = Array(utf8)
        let pattern = Array(separator.utf8)
        precondition(!pattern.isEmpty, "an empty separator splits nothing")
        var result: [String] = []
        var start = 0
        var position = 0
        while position + pattern.count <= bytes.count {
            if bytes[position] == pattern[0], bytes[position..<position + pattern.count].elementsEqual(pattern) {
                result.append(String(decoding: bytes[start..<position], as: UTF8.self))
                position += pattern.count
                start = position
            } else {
                position += 1
            }
        }
        result.append(String(decoding: bytes[start...], as: UTF8.self))
        return result
    }

    /// The text with every occurrence of `target` replaced, as Python's `replace`.
    func replacing(exactly target: String, with replacement: String) -> String {
        pieces(separatedBy: target).joined(separator: replacement)
    }

    /// The text with one code point replaced by another.
    func replacingScalar(_ target: Unicode.Scalar, with replacement: Unicode.Scalar) -> String {
        var result = String.UnicodeScalarView()
        result.append(contentsOf: unicodeScalars.lazy.map { $0 == target ? replacement : $0 })
        return String(result)
    }

    /// Whether the code points of `part` stand in the text.
    func containsExactly(_ part: String) -> Bool { pieces(separatedBy: part).count > 1 }

    /// The text without the code points at its start that satisfy `isStripped`, as Python's `lstrip`.
    func strippedAtStart(of isStripped: (Unicode.Scalar) -> Bool = \.isPythonWhitespace) -> String {
        String(unicodeScalars.drop(while: isStripped))
    }

    /// The text without white space at its end, as Python's `rstrip`.
    func strippedAtEnd() -> String {
        var scalars = unicodeScalars[...]
        while let last = scalars.last, last.isPythonWhitespace { scalars.removeLast() }
        return String(scalars)
    }

    /// The text without white space at either end, as Python's `strip`.
    func stripped() -> String { strippedAtStart().strippedAtEnd() }
}

extension Unicode.Scalar {
    /// What Python's `str.isspace` holds true: Unicode's white space and the four information separators.
    var isPythonWhitespace: Bool { properties.isWhitespace || (0x1C...0x1F).contains(value) }
}
