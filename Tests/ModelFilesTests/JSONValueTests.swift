import Bytes
import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("JSON")
struct JSONValueTests {
    private func parse(_ text: String) throws -> JSONValue {
        let scratch = try Scratch()
        return try JSONValue(contentsOf: scratch.write(text, as: "a.json"))
    }

    @Test(
        "values are what they say",
        arguments: [
            ("0", .integer(0)), ("-0", .integer(0)), ("9223372036854775807", .integer(.max)),
            ("-9223372036854775808", .integer(.min)), ("9223372036854775808", .number(0x1p63)),
            ("1e-05", .number(1e-5)),
            ("1.0", .number(1)), ("-2.5E+3", .number(-2500)), (" \t\r\n\"a\" ", .string("a")), ("true", .boolean(true)),
            ("false", .boolean(false)), ("null", .null), ("[]", .array([])), ("{}", .object([:])),
            ("[1,[2],{\"\":null}]", .array([.integer(1), .array([.integer(2)]), .object(["": .null])])),
            (#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#, .string("\"\\/\u{8}\u{C}\n\r\té😀é")),
        ] as [(String, JSONValue)])
    func values(text: String, value: JSONValue) throws {
        #expect(try parse(text) == value)
    }

    @Test(
        "an error says the line, the column and what is wrong",
        arguments: [
            ("", 1, 1, "expected a value, the text ends here"),
            ("{\n \"a\": 1,\n}", 3, 1, "expected a key in quotes, got '}'"),
            ("[1,]", 1, 4, "expected a value, got ']'"), ("{\"a\" 1}", 1, 6, "expected ':' after the key, got '1'"),
            ("{\"a\":1 \"b\":2}", 1, 8, "expected ',' or '}', got '\"'"),
            ("[1 2]", 1, 4, "expected ',' or ']', got '2'"),
            ("01", 1, 2, "expected the end, got more text"), ("1.", 1, 3, "expected a digit, the text ends here"),
            ("-", 1, 2, "expected a digit, the text ends here"), ("+1", 1, 1, "expected a value, got '+'"),
            ("1e999", 1, 1, "number out of range"), ("tru", 1, 1, "expected a value"),
            ("NaN", 1, 1, "NaN and Infinity are not JSON; write a number or null"),
            ("\"a", 1, 1, "the string does not end"), ("\"\n\"", 1, 2, "control character 10 inside a string"),
            (#""\x""#, 1, 2, "unknown escape"), (#""\ud83d""#, 1, 2, "half of a surrogate pair"),
            (#""\ud83d\u0041""#, 1, 2, "half of a surrogate pair"),
            (#""\u00g0""#, 1, 6, "expected a hexadecimal digit, got 'g'"),
            ("{\"a\":1,\n\"a\":2}", 2, 1, "the key \"a\" is there twice"),
            ("\u{FEFF}{}", 1, 1, "expected a value, got byte 239"),
            (String(repeating: "[", count: 1_000_000), 1, 129, "more than 128 levels"),
        ])
    func errors(text: String, line: Int, column: Int, reason: String) throws {
        let scratch = try Scratch()
        let path = try scratch.write(text, as: "a.json")
        let error = CheckpointError.invalidJSON(file: path, line: line, column: column, reason: reason)
        #expect(throws: error) { try JSONValue(contentsOf: path) }
        #expect(error.description == "\(path), line \(line), column \(column): \(reason)")
    }

    @Test("bytes that are no UTF-8 are refused")
    func invalidText() throws {
        let scratch = try Scratch()
        let path = try scratch.write([0x22, 0xC3, 0x22], as: "a.json")
        #expect(throws: CheckpointError.invalidJSON(file: path, line: 1, column: 1, reason: "the string is not UTF-8"))
        {
            try JSONValue(contentsOf: path)
        }
    }

    @Test("accessors give the value if it is of their kind and nil otherwise")
    func accessors() throws {
        let value = try parse(#"{"i":3,"d":3.0,"f":2.5,"s":"x","b":true,"a":[1],"o":{"k":1},"n":null,"h":1e300}"#)
        #expect(value["i"]?.int == 3 && value["d"]?.int == 3 && value["f"]?.int == nil && value["h"]?.int == nil)
        #expect(value["i"]?.double == 3 && value["f"]?.double == 2.5 && value["s"]?.double == nil)
        #expect(value["s"]?.string == "x" && value["i"]?.string == nil)
        #expect(value["b"]?.bool == true && value["i"]?.bool == nil)
        #expect(
            value["a"]?.array == [.integer(1)] && value["a"]?[0] == .integer(1) && value["a"]?[1] == nil
                && value["a"]?[-1] == nil)
        #expect(value["o"]?["k"] == .integer(1) && value["o"]?.object?.count == 1)
        #expect(
            value["n"]?.isNull == true && value["i"]?.isNull == false && value["missing"] == nil
                && value["a"]?["k"] == nil)
    }

    @Test("every JSON file of the golden set reads the same through Foundation's decoder")
    func decoder() throws {
        let files = FileManager.default.enumerator(at: Fixtures.golden, includingPropertiesForKeys: nil)
        var count = 0
        while let url = files?.nextObject() as? URL {
            guard url.pathExtension == "json" else { continue }
            let decoded = try JSONDecoder().decode(Decoded.self, from: Data(contentsOf: url)).value
            // Foundation's decoder gives 1.0 as an integer.
            #expect(normalised(try JSONValue(contentsOf: url.path)) == normalised(decoded), "\(url.path)")
            count += 1
        }
        #expect(count >= 20)
    }

    private func normalised(_ value: JSONValue) -> JSONValue {
        switch value {
        case .number: value.int.map { .integer($0) } ?? value
        case .array(let elements): .array(elements.map(normalised))
        case .object(let members): .object(members.mapValues(normalised))
        default: value
        }
    }

    /// A value as Foundation's decoder gives it.
    private struct Decoded: Decodable {
        let value: JSONValue

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                value = .null
            } else if let bool = try? container.decode(Bool.self) {
                value = .boolean(bool)
            } else if let integer = try? container.decode(Int.self) {
                value = .integer(integer)
            } else if let number = try? container.decode(Double.self) {
                value = .number(number)
            } else if let text = try? container.decode(String.self) {
                value = .string(text)
            } else if let elements = try? container.decode([Decoded].self) {
                value = .array(elements.map(\.value))
            } else {
                value = .object(try container.decode([String: Decoded].self).mapValues(\.value))
            }
        }
    }

    private struct Config: Decodable, Equatable {
        var hiddenSize: Int
        var rmsNormEps: Double?
        var inner: [String: [Int]]?
    }

    @Test("a configuration is decoded from its Hugging Face keys, and errors name file and key")
    func decode() throws {
        let scratch = try Scratch()
        let path = try scratch.write(#"{"hidden_size":4096,"rms_norm_eps":1e-05,"other":null}"#, as: "config.json")
        #expect(try JSONFile.decode(Config.self, from: path) == Config(hiddenSize: 4096, rmsNormEps: 1e-5))
        func error(_ text: String) throws -> CheckpointError? {
            try scratch.write(text, as: "config.json")
            return #expect(throws: CheckpointError.self) { try JSONFile.decode(Config.self, from: path) }
        }
        #expect(
            try error("{}")
                == .unexpectedValue(file: path, key: "hidden_size", expected: "a value", got: "missing"))
        #expect(
            try error(#"{"hidden_size":"x"}"#)
                == .unexpectedValue(file: path, key: "hidden_size", expected: "Int", got: "a value of another type"))
        #expect(try error(#"{"hidden_size":null}"#)?.description.contains("\"hidden_size\"") == true)
        #expect(try error(#"{"hidden_size":1,"inner":{"k":[1,"x"]}}"#)?.description.contains("inner.k.1") == true)
        #expect(try error(#"{"hidden_size":1.5}"#)?.description.contains("fraction") == true)
        #expect(try error("[")?.description.contains("line 1, column 2") == true)
    }
}
