import ModelFiles
import Tensors
import TestSupport
import Testing

/// A header that must be refused, and how.
struct BadHeader: Sendable, CustomTestStringConvertible {
    var title: String
    var bytes: [UInt8]
    var error: @Sendable (_ file: String) -> CheckpointError

    var testDescription: String { title }

    init(
        _ title: String, _ header: String, byteCount: Int = 8,
        _ error: @escaping @Sendable (String) -> CheckpointError
    ) {
        self.init(title, bytes: safetensors(header, byteCount: byteCount), error)
    }

    init(_ title: String, bytes: [UInt8], _ error: @escaping @Sendable (String) -> CheckpointError) {
        (self.title, self.bytes, self.error) = (title, bytes, error)
    }

    /// A header of one tensor "a".
    static func entry(_ dtype: String, _ shape: String, _ offsets: String) -> String {
        #"{"a":{"dtype":\#(dtype),"shape":\#(shape),"data_offsets":\#(offsets)}}"#
    }

    static func damaged(_ offset: Int, _ expected: String, _ got: String) -> @Sendable (String) -> CheckpointError {
        { .damaged(file: $0, part: "safetensors header", offset: offset, expected: expected, got: got) }
    }

    static func outOfBounds(_ offset: Int, _ wanted: Int, _ available: Int) -> @Sendable (String) -> CheckpointError {
        { .outOfBounds(file: $0, part: "safetensors header", offset: offset, wanted: wanted, available: available) }
    }

    static func value(_ key: String, _ expected: String, _ got: String) -> @Sendable (String) -> CheckpointError {
        { .unexpectedValue(file: $0, key: key, expected: expected, got: got) }
    }

    static func shape(_ shape: [Int]) -> @Sendable (String) -> CheckpointError {
        { .invalidShape(file: $0, tensor: "a", shape: shape) }
    }

    static func bounds(_ begin: Int, _ end: Int, of available: Int = 8) -> @Sendable (String) -> CheckpointError {
        { .tensorOutOfBounds(file: $0, tensor: "a", begin: begin, end: end, available: available) }
    }

    static func byteCount(_ expected: Int, _ got: Int) -> @Sendable (String) -> CheckpointError {
        { .tensorByteCount(file: $0, tensor: "a", expected: expected, got: got) }
    }

    static let all: [BadHeader] = [
        // The length
        .init("shorter than a length", bytes: [2, 0, 0], outOfBounds(0, 8, 3)),
        .init("a length and nothing else", bytes: littleEndian(UInt64(2)), outOfBounds(8, 2, 0)),
        .init("cut inside the header", bytes: littleEndian(UInt64(90)) + Array("{\"a\":".utf8), outOfBounds(8, 90, 5)),
        .init(
            "a header of more than 100 MB", bytes: littleEndian(UInt64(100_000_001)) + Array("{}".utf8),
            damaged(0, "a header of at most 100000000 bytes", "100000001")),
        .init(
            "a length of 2^63 - 1", bytes: littleEndian(UInt64(Int.max)) + Array("{}".utf8),
            damaged(0, "a header of at most 100000000 bytes", "\(Int.max)")),
        .init("a length beyond Int", bytes: littleEndian(UInt64.max) + Array("{}".utf8), outOfBounds(8, .max, 2)),
        .init("no header", bytes: littleEndian(UInt64(0)), damaged(8, "'{'", "an empty header")),

        // JSON
        .init("an array for a header", "[]", damaged(8, "'{'", "byte 91")),
        .init("white space before the brace", " {}", damaged(8, "'{'", "byte 32")),
        .init(
            "an unfinished object", #"{"a":"#, damaged(13, "JSON", "expected a value, the text ends here")),
        .init("text after the object", "{}x", damaged(10, "JSON", "expected the end, got more text")),
        .init("a zero byte for padding", "{}\0", damaged(10, "JSON", "expected the end, got more text")),
        .init(
            "levels without end", "{\"a\":" + String(repeating: "[", count: 100_000),
            damaged(8 + 5 + 127, "JSON", "more than 128 levels")),
        .init(
            "the same tensor twice",
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            { .duplicateTensor(name: "a", files: [$0]) }),
        .init(
            "the same tensor twice, once with an escape",
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\u0061":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
            { .duplicateTensor(name: "a", files: [$0]) }),
        .init(
            "two element types", #"{"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}"#,
            damaged(8 + 20, "JSON", "the key \"dtype\" is there twice")),

        // Members
        .init("a number for a tensor", #"{"a":1}"#, value("a.dtype", "a string", "missing")),
        .init("no element type", #"{"a":{"shape":[2],"data_offsets":[0,8]}}"#, value("a.dtype", "a string", "missing")),
        .init(
            "no shape", #"{"a":{"dtype":"F32","data_offsets":[0,8]}}"#,
            value("a.shape", "an array of integers", "missing")),
        .init("no offsets", #"{"a":{"dtype":"F32","shape":[2]}}"#, value("a.data_offsets", "two integers", "missing")),
        .init(
            "a fraction in the shape", entry("\"F32\"", "[2.5]", "[0,8]"),
            value("a.shape", "an array of integers", "an array")),
        .init(
            "an integral double in the shape", entry("\"F32\"", "[2.0]", "[0,8]"),
            value("a.shape", "an array of integers", "an array")),
        .init(
            "an extent beyond Int", entry("\"F32\"", "[9223372036854775808]", "[0,8]"),
            value("a.shape", "an array of integers", "an array")),
        .init("one offset", entry("\"F32\"", "[2]", "[0]"), value("a.data_offsets", "two integers", "an array")),
        .init("three offsets", entry("\"F32\"", "[2]", "[0,8,8]"), value("a.data_offsets", "two integers", "an array")),
        .init(
            "texts for offsets", entry("\"F32\"", "[2]", #"["0","8"]"#),
            value("a.data_offsets", "two integers", "an array")),
        .init(
            "a text for metadata", #"{"__metadata__":"x"}"#, byteCount: 0,
            value("__metadata__", "an object", "the string \"x\"")),
        .init(
            "a number in the metadata", #"{"__metadata__":{"k":1}}"#, byteCount: 0,
            value("__metadata__.k", "a string", "1")),

        // Types and shapes
        .init("an 8-bit float", entry("\"F8_E4M3\"", "[8]", "[0,8]")) {
            .unsupportedElementType(file: $0, tensor: "a", type: "F8_E4M3")
        },
        .init("an unsigned type", entry("\"U64\"", "[1]", "[0,8]")) {
            .unsupportedElementType(file: $0, tensor: "a", type: "U64")
        },
        .init("a type in small letters", entry("\"f32\"", "[2]", "[0,8]")) {
            .unsupportedElementType(file: $0, tensor: "a", type: "f32")
        },
        .init("a negative extent", entry("\"F32\"", "[-2]", "[0,8]"), shape([-2])),
        .init("two negative extents", entry("\"F32\"", "[-1,-2]", "[0,8]"), shape([-1, -2])),
        .init(
            "more elements than can be counted", entry("\"F32\"", "[4294967296,4294967296]", "[0,8]"),
            shape([1 << 32, 1 << 32])),
        .init("more bytes than can be counted", entry("\"F32\"", "[9223372036854775807]", "[0,8]"), shape([.max])),
        .init(
            "no element, by way of more than can be counted", entry("\"F32\"", "[0,9223372036854775807,2]", "[0,0]"),
            byteCount: 0, shape([0, .max, 2])),
        .init(
            "65 extents", entry("\"F32\"", "[2\(String(repeating: ",1", count: 64))]", "[0,8]"),
            shape([2] + Array(repeating: 1, count: 64))),

        // Places
        .init("a range that ends beyond the file", entry("\"F32\"", "[3]", "[0,12]"), bounds(0, 12)),
        .init("a range that begins before the elements", entry("\"F32\"", "[2]", "[-8,0]"), bounds(-8, 0)),
        .init("a range that ends before it begins", entry("\"F32\"", "[2]", "[8,0]"), bounds(8, 0)),
        .init(
            "a range from minus to plus infinity",
            entry("\"F32\"", "[2]", "[-9223372036854775808,9223372036854775807]"), bounds(.min, .max)),
        .init("too few bytes for the shape", entry("\"F32\"", "[2]", "[0,4]"), byteCount(8, 4)),
        .init("too many bytes for the shape", entry("\"F32\"", "[1]", "[0,8]"), byteCount(4, 8)),
        .init("bytes for an empty tensor", entry("\"F32\"", "[0]", "[0,8]"), byteCount(0, 8)),
        .init("bytes before the first tensor", entry("\"F32\"", "[1]", "[4,8]")) {
            .unusedBytes(file: $0, begin: 0, end: 4)
        },
        .init("bytes after the last tensor", entry("\"F32\"", "[1]", "[0,4]")) {
            .unusedBytes(file: $0, begin: 4, end: 8)
        },
        .init("an empty tensor beyond the others", entry("\"F32\"", "[0]", "[8,8]")) {
            .unusedBytes(file: $0, begin: 0, end: 8)
        },
        .init(
            "two tensors at the same place",
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#
        ) { .overlappingTensors(file: $0, first: "a", second: "b") },
        .init(
            "two tensors that share bytes",
            #"{"b":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#
        ) { .overlappingTensors(file: $0, first: "b", second: "a") },
        .init(
            "two tensors that share one byte",
            #"{"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[5],"data_offsets":[3,8]}}"#
        ) { .overlappingTensors(file: $0, first: "b", second: "a") },
        .init(
            "an empty tensor inside another",
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}"#
        ) { .overlappingTensors(file: $0, first: "a", second: "b") },
    ]
}

@Suite("Safetensors files")
struct SafetensorsFileTests {
    @Test("a header that breaks the format is refused with the reason", arguments: BadHeader.all)
    func badHeader(_ bad: BadHeader) throws {
        let scratch = try Scratch()
        let path = try scratch.write(bad.bytes, as: "bad.safetensors")
        #expect(throws: bad.error(path)) { try SafetensorsFile(path: path) }
        #expect(throws: bad.error(path)) { try TensorFile.load(path: path) }
        #expect(bad.error(path).description.contains("bad.safetensors"))
    }

    @Test("a file without tensors has none")
    func empty() throws {
        let scratch = try Scratch()
        let file = try SafetensorsFile(path: scratch.write(safetensors("{}"), as: "empty.safetensors"))
        #expect(file.tensors.isEmpty && file.metadata.isEmpty)
    }

    @Test("header keys may come in any order, with padding and escapes")
    func tolerated() throws {
        let scratch = try Scratch()
        let header = #"""
            {"__metadata__":{"format":"pt","é\n":"\ud83d\ude00"}, "b" : {"data_offsets":[4,8],"shape":[],"dtype":"I32"},
            "a\/\u00e9":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4],"more":null}, "e":{"dtype":"I64","shape":[3,0],"data_offsets":[4,4]}}    
            """#
        let bytes =
            littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + littleEndian(Float(1.5).bitPattern)
            + littleEndian(Int32(-7))
        let file = try SafetensorsFile(path: scratch.write(bytes, as: "a.safetensors"))
        #expect(file.tensors.keys.sorted() == ["a/é", "b", "e"].sorted())
        #expect(file.tensors["a/é"]?.floats == [1.5])
        #expect(file.tensors["b"]?.integers == [-7] && file.tensors["b"]?.shape == [])
        #expect(file.tensors["e"]?.shape == [3, 0])
        #expect(file.metadata == ["format": "pt", "é\n": "😀"])
    }

    @Test("tensors that lie misaligned are copied, with the same values")
    func misaligned() throws {
        let scratch = try Scratch()
        let values: [Float] = [1, -2, 3.5]
        for padding in 0..<8 {
            let header =
                #"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"# + String(repeating: " ", count: padding)
            let bytes =
                littleEndian(UInt64(header.utf8.count)) + Array(header.utf8)
                + values.flatMap { littleEndian($0.bitPattern) }
            let path = try scratch.write(bytes, as: "\(padding).safetensors")
            let tensor = try #require(SafetensorsFile(path: path).tensors["a"])
            #expect(tensor.floats == values)
            #expect(tensor.isMapped == header.utf8.count.isMultiple(of: 4))
        }
    }

    @Test("a missing file, a directory and a named pipe are refused without waiting", .timeLimit(.minutes(1)))
    func unreadable() throws {
        let scratch = try Scratch()
        #expect(throws: CheckpointError.unreadable(path: scratch.path("no"), reason: "No such file or directory")) {
            try SafetensorsFile(path: scratch.path("no"))
        }
        #expect(throws: CheckpointError.unreadable(path: scratch.path, reason: "not a regular file")) {
            try SafetensorsFile(path: scratch.path)
        }
        try #require(makePipe(scratch.path("pipe")))
        #expect(throws: CheckpointError.unreadable(path: scratch.path("pipe"), reason: "not a regular file")) {
            try TensorFile.load(path: scratch.path("pipe"))
        }
        #expect(throws: CheckpointError.unreadable(path: "a\0b", reason: "the path holds a zero byte")) {
            try TensorFile.load(path: "a\0b")
        }
    }
}
