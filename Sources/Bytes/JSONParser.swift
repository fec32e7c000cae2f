/// What is wrong with a JSON text, and where.
package struct JSONSyntaxError: Error {
    /// Offset of the byte in the text.
    package var offset: Int
    package var reason: String
    /// A key that its object holds twice, and how many objects and arrays enclose it.
    package var duplicate: (key: String, depth: Int)?

    /// Line and column, counted from 1 and in bytes.
    package func position(in text: [UInt8]) -> (line: Int, column: Int) {
        let before = text.prefix(offset)
        let line = before.count { $0 == 0x0A } + 1
        let start = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        return (line, offset - start + 1)
    }
}

/// A JSON parser (RFC 8259) that is strict where a wrong guess would do harm.
///
/// Foundation's decoder keeps one of two members with the same key; in the header of a safetensors file that would
/// hide a tensor. Errors here carry their position, and depth is bounded.
package struct JSONParser {
    private static let maximumDepth = 128

    private let text: [UInt8]
    private var position = 0
    private var depth = 0

    /// The value that `text` holds, with nothing but white space around it.
    package static func value(of text: [UInt8]) throws(JSONSyntaxError) -> JSONValue {
        var parser = JSONParser(text: text)
        let value = try parser.value()
        parser.skipWhiteSpace()
        guard parser.position == text.count else { throw parser.error("expected the end, got more text") }
        return value
    }

    private init(text: [UInt8]) { self.text = text }

    private var current: UInt8? { position < text.count ? text[position] : nil }

    private func error(_ reason: String, at offset: Int? = nil) -> JSONSyntaxError {
        JSONSyntaxError(offset: offset ?? position, reason: reason)
    }

    private func unexpected(_ expected: String) -> JSONSyntaxError {
        guard let current else { return error("expected \(expected), the text ends here") }
        let isPrintable = (0x21...0x7E).contains(current)
        let got = isPrintable ? "'\(Character(Unicode.Scalar(current)))'" : "byte \(current)"
        return error("expected \(expected), got \(got)")
    }

    private mutating func skipWhiteSpace() {
        while let current, current == 0x20 || current == 0x0A || current == 0x0D || current == 0x09 { position += 1 }
    }

    private mutating func take(_ character: Character) -> Bool {
        guard let current, current == character.asciiValue else { return false }
        position += 1
        return true
    }

    // MARK: Values

    private mutating func value() throws(JSONSyntaxError) -> JSONValue {
        skipWhiteSpace()
        switch current {
        case UInt8(ascii: "{"):
            try enter()
            defer { depth -= 1 }
            return try object()
        case UInt8(ascii: "["):
            try enter()
            defer { depth -= 1 }
            return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .boolean(true))
        case UInt8(ascii: "f"): return try word("false", .boolean(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "N"), UInt8(ascii: "I"):
            throw error("NaN and Infinity are not JSON; write a number or null")
        default: return try number()
        }
    }

    private mutating func enter() throws(JSONSyntaxError) {
        guard depth < Self.maximumDepth else { throw error("more than \(Self.maximumDepth) levels") }
        depth += 1
        position += 1
    }

    private mutating func object() throws(JSONSyntaxError) -> JSONValue {
        var members: [String: JSONValue] = [:]
        skipWhiteSpace()
        if take("}") { return .object(members) }
        while true {
            skipWhiteSpace()
            let start = position
            guard current == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
            let key = try string()
            skipWhiteSpace()
            guard take(":") else { throw unexpected("':' after the key") }
            let value = try value()
            guard members.updateValue(value, forKey: key) == nil else {
                var error = error("the key \"\(key)\" is there twice", at: start)
                error.duplicate = (key, depth)
                throw error
            }
            skipWhiteSpace()
            if take("}") { return .object(members) }
            guard take(",") else { throw unexpected("',' or '}'") }
        }
    }

    private mutating func array() throws(JSONSyntaxError) -> JSONValue {
        var elements: [JSONValue] = []
        skipWhiteSpace()
        if take("]") { return .array(elements) }
        while true {
            elements.append(try value())
            skipWhiteSpace()
            if take("]") { return .array(elements) }
            guard take(",") else { throw unexpected("',' or ']'") }
        }
    }

    private mutating func word(_ word: String, _ value: JSONValue) throws(JSONSyntaxError) -> JSONValue {
        let start = position
        for byte in word.utf8 {
            guard current == byte else { throw error("expected a value", at: start) }
            position += 1
        }
        return value
    }

    private mutating func number() throws(JSONSyntaxError) -> JSONValue {
        let start = position
        var isInteger = true
        _ = take("-")
        if !take("0") { try digits(orElse: start == position ? "a value" : "a digit") }
        if take(".") {
            isInteger = false
            try digits(orElse: "a digit")
        }
        if take("e") || take("E") {
            isInteger = false
            if !take("+") { _ = take("-") }
            try digits(orElse: "a digit")
        }
        let digits = String(decoding: text[start..<position], as: UTF8.self)
        if isInteger, let value = Int(digits) { return .integer(value) }
        guard let value = Double(digits), value.isFinite else { throw error("number out of range", at: start) }
        return .number(value)
    }

    private mutating func digits(orElse expected: String) throws(JSONSyntaxError) {
        let start = position
        while let current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(current) { position += 1 }
        if position == start { throw unexpected(expected) }
    }

    // MARK: Strings

    private mutating func string() throws(JSONSyntaxError) -> String {
        let start = position
        position += 1
        var bytes: [UInt8] = []
        while let byte = current {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: bytes, as: UTF8.self) else {
                    throw error("the string is not UTF-8", at: start)
                }
                return string
            case UInt8(ascii: "\\"):
                try bytes.append(contentsOf: escape())
            case 0..<0x20:
                throw error("control character \(byte) inside a string", at: position - 1)
            default:
                bytes.append(byte)
            }
        }
        throw error("the string does not end", at: start)
    }

    private mutating func escape() throws(JSONSyntaxError) -> [UInt8] {
        guard let byte = current else { throw unexpected("an escape") }
        let start = position - 1
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"): break
        default: throw error("unknown escape", at: start)
        }
        var code = try hexadecimal()
        if (0xD800..<0xDC00).contains(code), take("\\"), take("u") {
            let low = try hexadecimal()
            if (0xDC00..<0xE000).contains(low) { code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00) }
        }
        guard let scalar = Unicode.Scalar(code) else { throw error("half of a surrogate pair", at: start) }
        return Array(String(Character(scalar)).utf8)
    }

    private mutating func hexadecimal() throws(JSONSyntaxError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let current, let digit = Character(Unicode.Scalar(current)).hexDigitValue, current < 0x80 else {
                throw unexpected("a hexadecimal digit")
            }
            code = code << 4 | UInt32(digit)
            position += 1
        }
        return code
    }
}
