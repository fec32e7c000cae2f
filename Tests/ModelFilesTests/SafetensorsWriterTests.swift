import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@Suite("Writing safetensors")
struct SafetensorsWriterTests {
    /// A tensor of random bytes; Booleans are 0 or 1.
    private func tensor(_ shape: [Int], _ type: ElementType, _ generator: inout SeededGenerator) -> Tensor {
        let count = shape.reduce(1, *) * type.byteCount
        let bytes = (0..<count).map { _ in
            type == .bool ? UInt8.random(in: 0...1, using: &generator) : UInt8.random(in: 0...255, using: &generator)
        }
        return Tensor(copying: bytes, shape: shape, elementType: type)
    }

    private static let plainTypes = ElementType.allCases.filter { !$0.isBlockQuantized }
    private static let shapes: [[Int]] = [[], [0], [1], [7], [3, 0, 5], [3, 5], [2, 3, 4, 5]]

    @Test("what was written is read back, bytes, shapes and metadata", arguments: plainTypes)
    func roundTrip(type: ElementType) throws {
        let scratch = try Scratch()
        var generator = SeededGenerator(seed: 7)
        var tensors: [String: Tensor] = [:]
        for shape in Self.shapes { tensors["\(shape)"] = tensor(shape, type, &generator) }
        let metadata = ["format": "pt", "": "empty key", "k\"\\\n": "v/é😀\u{1}"]
        try SafetensorsWriter.write(tensors, metadata: metadata, to: scratch.path("a.safetensors"))
        let file = try SafetensorsFile(path: scratch.path("a.safetensors"))
        #expect(file.metadata == metadata)
        #expect(file.tensors.keys.sorted() == tensors.keys.sorted())
        for (name, expected) in tensors {
            let found = try #require(file.tensors[name])
            #expect(found.shape == expected.shape && found.elementType == type)
            #expect(bytes(of: found) == bytes(of: expected))
            #expect(found.isMapped)
        }
    }

    @Test("tensors of all types in one file are aligned, so that all are used in place")
    func alignment() throws {
        let scratch = try Scratch()
        var generator = SeededGenerator(seed: 8)
        var tensors: [String: Tensor] = [:]
        for type in Self.plainTypes {
            for shape in Self.shapes { tensors["\(shape).\(type)"] = tensor(shape, type, &generator) }
        }
        try SafetensorsWriter.write(tensors, to: scratch.path("a.safetensors"))
        let file = try SafetensorsFile(path: scratch.path("a.safetensors"))
        #expect(file.tensors.count == tensors.count)
        for (name, tensor) in file.tensors {
            #expect(tensor.isMapped, "\(name)")
            #expect(bytes(of: tensor) == tensors[name].map(bytes))
        }
    }

    @Test("the header has sorted keys and ends at a multiple of eight bytes; the same call gives the same bytes")
    func header() throws {
        let scratch = try Scratch()
        let tensors = [
            "b": Tensor([1, 2] as [Float], shape: [2]), "a": Tensor(integers: [3], shape: []),
            "c/d": Tensor([] as [Float], shape: [0]),
        ]
        for name in ["1", "2"] {
            try SafetensorsWriter.write(tensors, metadata: ["y": "1", "x": "2"], to: scratch.path(name))
        }
        let written = try Array(Data(contentsOf: scratch.url.appending(path: "1")))
        #expect(try Array(Data(contentsOf: scratch.url.appending(path: "2"))) == written)
        let json =
            #"{"__metadata__":{"x":"2","y":"1"},"a":{"data_offsets":[0,4],"dtype":"I32","shape":[]},"#
            + #""b":{"data_offsets":[4,12],"dtype":"F32","shape":[2]},"c\/d":"#.replacing("\\", with: "")
            + #"{"data_offsets":[12,12],"dtype":"F32","shape":[0]}}"#
        let padded = json + String(repeating: " ", count: (8 - json.utf8.count % 8) % 8)
        let elements = littleEndian(Int32(3)) + littleEndian(Float(1).bitPattern) + littleEndian(Float(2).bitPattern)
        #expect(written == littleEndian(UInt64(padded.utf8.count)) + Array(padded.utf8) + elements)
    }

    @Test(
        "golden weights written again are the same tensors", arguments: GoldenFile.all.filter { $0.kind == "weights" })
    func golden(file: GoldenFile) throws {
        let scratch = try Scratch()
        let tensors = try TensorFile.load(path: file.url.path)
        try SafetensorsWriter.write(tensors, to: scratch.path("a.safetensors"))
        let again = try TensorFile.load(path: scratch.path("a.safetensors"))
        #expect(again.mapValues(\.shape) == tensors.mapValues(\.shape))
        #expect(again.mapValues(bytes) == tensors.mapValues(bytes))
    }

    @Test("a file can be replaced while its tensors are in use")
    func replace() throws {
        let scratch = try Scratch()
        let path = scratch.path("a.safetensors")
        try SafetensorsWriter.write(["a": Tensor(repeating: 1, shape: [5000])], to: path)
        let old = try #require(SafetensorsFile(path: path).tensors["a"])
        try SafetensorsWriter.write(["b": Tensor(repeating: 2, shape: [3])], to: path)
        #expect(old.floats.allSatisfy { $0 == 1 })
        #expect(try SafetensorsFile(path: path).tensors["b"]?.floats == [2, 2, 2])
        #expect(try scratch.names == ["a.safetensors"])
    }

    @Test("when writing fails, nothing is left behind and what was there stays")
    func failure() throws {
        let scratch = try Scratch()
        // A directory under the final name lets everything succeed but the last step.
        let taken = scratch.path("taken")
        try FileManager.default.createDirectory(atPath: taken + "/inside", withIntermediateDirectories: true)
        #expect(throws: CheckpointError.unwritable(path: taken, reason: "Is a directory")) {
            try SafetensorsWriter.write(["a": Tensor([1] as [Float], shape: [1])], to: taken)
        }
        #expect(try scratch.names == ["taken"])

        let nowhere = scratch.path("no/such/a.safetensors")
        #expect(throws: CheckpointError.unwritable(path: nowhere, reason: "No such file or directory")) {
            try SafetensorsWriter.write([:], to: nowhere)
        }
        #expect(throws: CheckpointError.self) { try SafetensorsWriter.write([:], to: "") }
        #expect(throws: CheckpointError.self) { try SafetensorsWriter.write([:], to: scratch.path + "/a/") }
        #expect(throws: CheckpointError.self) {
            try SafetensorsWriter.write(["__metadata__": Tensor([1] as [Float], shape: [1])], to: scratch.path("a"))
        }
        #expect(try scratch.names == ["taken"])
    }
}
