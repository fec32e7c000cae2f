import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@Suite("Writing GGUF")
struct GGUFWriterTests {
    /// A value of every kind, and arrays of every kind, empty and nested.
    static let values: [String: GGUFValue] = [
        "u8": .uint8(200), "i8": .int8(-3), "u16": .uint16(60000), "i16": .int16(-300), "u32": .uint32(4_000_000_000),
        "i32": .int32(-70000), "u64": .uint64(.max), "i64": .int64(.min), "f32": .float32(1e-5), "f64": .float64(.pi),
        "yes": .bool(true), "no": .bool(false), "text": .string("v/é😀\u{1}"), "empty": .string(""),
        "a.u8": .array(.uint8([1, 255])), "a.i8": .array(.int8([-1])), "a.u16": .array(.uint16([1, 2, 3])),
        "a.i16": .array(.int16([-2])), "a.u32": .array(.uint32([7])), "a.i32": .array(.int32([-7, 7])),
        "a.u64": .array(.uint64([.max])), "a.i64": .array(.int64([.min])), "a.f32": .array(.float32([0.5, -0.0])),
        "a.f64": .array(.float64([2])), "a.bool": .array(.bool([true, false])), "a.text": .array(.string(["", "Ġx"])),
        "a.empty": .array(.string([])),
        "a.nested": .array(.array([.int32([1]), .string(["b"]), .array([.uint8([])])])),
    ]

    /// A file with all of `values` and a tensor of every type; returns its bytes.
    @discardableResult
    static func writeSample(to path: String) throws -> [UInt8] {
        try GGUFWriter.write(tensors(), metadata: values, to: path)
        return try Array(Data(contentsOf: URL(filePath: path)))
    }

    private static func tensors() -> [String: Tensor] {
        var random = SeededGenerator(seed: 53)
        var tensors: [String: Tensor] = [:]
        for type in ElementType.blockQuantized {
            tensors["\(type)"] = random.blockTensor([3, type.blockCount], type)
        }
        for type in [ElementType.float64, .float32, .float16, .bfloat16, .int64, .int32, .int16, .int8] {
            for shape in [[], [0], [5], [2, 3], [2, 1, 3, 2]] {
                let bytes = (0..<shape.reduce(1, *) * type.byteCount).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
                tensors["\(type) \(shape)"] = Tensor(copying: bytes, shape: shape, elementType: type)
            }
        }
        return tensors
    }

    @Test("what was written is read back: every kind of value, every type of tensor, in place")
    func roundTrip() throws {
        let scratch = try Scratch()
        for alignment in [nil, 8, 4096] as [UInt32?] {
            var values = Self.values
            values["general.alignment"] = alignment.map { .uint32($0) }
            let tensors = Self.tensors()
            try GGUFWriter.write(tensors, metadata: values, to: scratch.path("a.gguf"))
            let file = try GGUFFile(path: scratch.path("a.gguf"))
            #expect(file.version == 3 && file.metadata == values)
            #expect(file.tensors.keys.sorted() == tensors.keys.sorted())
            for (name, expected) in tensors {
                let found = try #require(file.tensors[name])
                #expect(found.shape == expected.shape && found.elementType == expected.elementType, "\(name)")
                #expect(bytes(of: found) == bytes(of: expected), "\(name)")
                #expect(found.isMapped || found.count == 0)
            }
        }
        #expect(try scratch.names == ["a.gguf"])
    }

    @Test("accessors give the values of their types and nil for others")
    func accessors() {
        let values = Self.values
        #expect(values["u8"]?.integer == 200 && values["i64"]?.integer == .min && values["u64"]?.integer == nil)
        #expect(values["f32"]?.float == 1e-5 && values["f64"]?.float == Float(Double.pi) && values["u8"]?.float == nil)
        #expect(values["yes"]?.bool == true && values["text"]?.string == "v/é😀\u{1}" && values["yes"]?.string == nil)
        #expect(
            values["a.i32"]?.integers == [-7, 7] && values["a.u64"]?.integers == nil && values["i32"]?.integers == nil)
        #expect(values["a.text"]?.strings == ["", "Ġx"] && values["a.f32"]?.floats == [0.5, 0])
    }

    @Test("the bytes are those of the format")
    func fileBytes() throws {
        let scratch = try Scratch()
        let tensors = [
            "b": Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3]),
            "a": Tensor(copying: [1, 2], shape: [1], elementType: .float16),
        ]
        for name in ["1", "2"] { try GGUFWriter.write(tensors, metadata: ["k": .bool(true)], to: scratch.path(name)) }
        let written = try Array(Data(contentsOf: scratch.url.appending(path: "1")))
        #expect(try Array(Data(contentsOf: scratch.url.appending(path: "2"))) == written)
        var builder = GGUFBuilder()
        builder.value("k", 7, [1])
        builder.tensor("a", [1], 1, at: 0)
        builder.tensor("b", [3, 2], 0, at: 32)
        builder.data = [1, 2] + [UInt8](repeating: 0, count: 30)
        builder.data += (1...6).flatMap { littleEndian(Float($0).bitPattern) } + [UInt8](repeating: 0, count: 8)
        #expect(written == builder.bytes)
    }

    @Test("what no reader takes is refused, and nothing is left behind")
    func refusals() throws {
        let scratch = try Scratch()
        let vector = Tensor(repeating: 1, shape: [1])
        let cases: [([String: Tensor], [String: GGUFValue])] = [
            (["x": Tensor(repeating: 1, shape: [1, 1, 1, 1, 1])], [:]),
            ([String(repeating: "x", count: 64): vector], [:]),
            (["": vector], [:]), (["x": Tensor(copying: [1], shape: [1], elementType: .bool)], [:]),
            (["x": vector], ["general.alignment": .uint32(24)]), (["x": vector], ["general.alignment": .uint64(32)]),
            (["x": vector], ["": .bool(true)]),
        ]
        for (tensors, values) in cases {
            let error = #expect(throws: CheckpointError.self) {
                try GGUFWriter.write(tensors, metadata: values, to: scratch.path("a.gguf"))
            }
            if case .unwritable? = error { continue }
            Issue.record("\(String(describing: error))")
        }
        #expect(try scratch.names.isEmpty)
        #expect(throws: CheckpointError.self) {
            var random = SeededGenerator(seed: 54)
            try SafetensorsWriter.write(["x": random.blockTensor([32], .q8_0)], to: scratch.path("a.safetensors"))
        }
    }
}
