/// Where a match of a pre-tokeniser's pattern ends, alternative by alternative as a regular expression tries them.
struct PatternMatcher {
    let text: ClassifiedText
    /// The end of the text, for the pattern.
    let limit: Int

    private func kind(_ index: Int) -> ClassifiedText.Kind? { index < limit ? text.kinds[index] : nil }

    /// The end of the longest run from `start` of code points whose kind satisfies `belongs`.
    private func runEnd(_ start: Int, where belongs: (ClassifiedText.Kind) -> Bool) -> Int {
        var end = start
        while end < limit, belongs(text.kinds[end]) { end += 1 }
        return end
    }

    /// GPT-2: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    func classicEnd(from start: Int) -> Int {
        if let end = contractionEnd(start, ignoringCase: false) { return end }
        let first = text.scalars[start] == " " ? start + 1 : start
        if let kind = kind(first), !kind.isWhitespace { return runEnd(first) { $0 == kind } }
        return whitespaceEnd(start)
    }

    /// Llama 3 and Qwen 2:
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    func modernEnd(from start: Int, digits: Int) -> Int {
        if let end = contractionEnd(start, ignoringCase: true) { return end }
        let kind = text.kinds[start]
        switch kind {
        case .letter: return runEnd(start) { $0 == .letter }
        case .space, .other:
            if self.kind(start + 1) == .letter { return runEnd(start + 1) { $0 == .letter } }
        case .number: return min(start + digits, runEnd(start) { $0 == .number })
        case .lineBreak: break
        }
        let first = text.scalars[start] == " " ? start + 1 : start
        if self.kind(first) == .other {
            return runEnd(runEnd(first) { $0 == .other }) { $0 == .lineBreak }
        }
        // \s*[\r\n]+ ends behind the last line break of the white space.
        let end = runEnd(start, where: \.isWhitespace)
        if let last = text.kinds[start..<end].lastIndex(of: .lineBreak) { return last + 1 }
        return whitespaceEnd(start)
    }

    /// `\s+(?!\S)|\s+`: all of the white space at the end of the text, else all but its last.
    private func whitespaceEnd(_ start: Int) -> Int {
        let end = runEnd(start, where: \.isWhitespace)
        return end < limit && end - start > 1 ? end - 1 : end
    }

    /// `'s|'t|'re|'ve|'m|'ll|'d`
    private func contractionEnd(_ start: Int, ignoringCase: Bool) -> Int? {
        guard text.scalars[start] == "'", start + 1 < limit else { return nil }
        switch (letter(start + 1, ignoringCase), start + 2 < limit ? letter(start + 2, ignoringCase) : nil) {
        case ("s", _), ("t", _), ("m", _), ("d", _): return start + 2
        case ("r", "e"), ("v", "e"), ("l", "l"): return start + 3
        default: return nil
        }
    }

    private func letter(_ index: Int, _ ignoringCase: Bool) -> Unicode.Scalar {
        let scalar = text.scalars[index]
        guard ignoringCase else { return scalar }
        if (0x41...0x5A).contains(scalar.value) { return Unicode.Scalar(UInt8(scalar.value) + 0x20) }
        return scalar == "\u{17F}" ? "s" : scalar  // the long s folds to s
    }
}
