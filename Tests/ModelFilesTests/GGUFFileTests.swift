import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

/// A GGUF file put together by hand, every field of which can be wrong.
struct GGUFBuilder {
    var magic = Array("GGUF".utf8)
    var version: UInt32 = 3
    var tensorCount: UInt64?
    var valueCount: UInt64?
    var values: [[UInt8]] = []
    var infos: [[UInt8]] = []
    var data: [UInt8] = []
    var alignment = 32

    static func text(_ text: String) -> [UInt8] { littleEndian(UInt64(text.utf8.count)) + Array(text.utf8) }

    /// A value: key, number of the type, bytes.
    mutating func value(_ key: String, _ type: UInt32, _ bytes: [UInt8]) {
        values.append(Self.text(key) + littleEndian(type) + bytes)
    }

    /// A tensor: extents innermost first, number of the type, offset.
    mutating func tensor(_ name: [UInt8], _ extents: [UInt64], _ type: UInt32, at offset: UInt64) {
        infos.append(
            littleEndian(UInt64(name.count)) + name + littleEndian(UInt32(extents.count))
                + extents.flatMap { littleEndian($0) } + littleEndian(type) + littleEndian(offset))
    }

    mutating func tensor(_ name: String, _ extents: [UInt64], _ type: UInt32, at offset: UInt64) {
        tensor(Array(name.utf8), extents, type, at: offset)
    }

    var bytes: [UInt8] {
        var bytes = magic + littleEndian(version)
        bytes += littleEndian(tensorCount ?? UInt64(infos.count)) + littleEndian(valueCount ?? UInt64(values.count))
        bytes += values.flatMap { $0 } + infos.flatMap { $0 }
        bytes += [UInt8](repeating: 0, count: (alignment - bytes.count % alignment) % alignment)
        return bytes + data
    }
}

@Suite("GGUF files")
struct GGUFFileTests {
    private func load(_ builder: GGUFBuilder) throws -> GGUFFile {
        let scratch = try Scratch()
        return try GGUFFile(path: scratch.write(builder.bytes, as: "a.gguf"))
    }

    @Test("shapes are reversed, and elements lie behind the aligned header", arguments: [UInt32(2), 3])
    func layout(version: UInt32) throws {
        var builder = GGUFBuilder(version: version, alignment: 64)
        builder.value("general.alignment", 4, littleEndian(UInt32(64)))
        builder.tensor("matrix", [3, 2], 0, at: 64)
        builder.tensor("scalar", [], 26, at: 0)
        builder.tensor("blocks", [32, 2], 8, at: 128)
        builder.tensor("empty", [0, 7], 1, at: 64)
        let matrix = (1...6).flatMap { littleEndian(Float($0).bitPattern) }
        var random = SeededGenerator(seed: 51)
        let blocks = random.blocks(.q8_0, count: 2)
        builder.data = littleEndian(Int32(-5)) + [UInt8](repeating: 9, count: 60) + matrix
        builder.data += [UInt8](repeating: 9, count: 40) + blocks
        let file = try load(builder)
        #expect(file.version == Int(version) && file.tensors.count == 4)
        #expect(file.tensors["matrix"]?.shape == [2, 3] && file.tensors["matrix"]?.floats == [1, 2, 3, 4, 5, 6])
        #expect(file.tensors["scalar"]?.shape == [] && file.tensors["scalar"]?.integers == [-5])
        #expect(file.tensors["blocks"]?.shape == [2, 32] && file.tensors["blocks"]?.elementType == .q8_0)
        #expect(file.tensors["blocks"]?.floats == dequantizedReference(blocks, .q8_0))
        #expect(file.tensors["blocks"]?.isMapped == true && file.tensors["matrix"]?.isMapped == true)
        #expect(file.tensors["empty"]?.shape == [7, 0] && file.tensors["empty"]?.count == 0)
    }

    /// What is wrong, a part of the message, and how to do it.
    struct Fault: CustomTestStringConvertible {
        let testDescription: String
        let message: String
        let change: @Sendable (inout GGUFBuilder) -> Void

        init(_ what: String, _ message: String, _ change: @escaping @Sendable (inout GGUFBuilder) -> Void) {
            (testDescription, self.message, self.change) = (what, message, change)
        }
    }

    static let faults = [
        Fault("version 1", "version 1") { $0.version = 1 },
        Fault("version 4", "version 4") { $0.version = 4 },
        Fault("big-endian", "big-endian") { $0.version = UInt32(3).byteSwapped },
        Fault("tensors for which there is no room", "offset 8:") { $0.tensorCount = 1 << 40 },
        Fault("a negative number of tensors", "header") { $0.tensorCount = .max },
        Fault("values for which there is no room", "offset 16:") { $0.valueCount = 1 << 40 },
        Fault("a key longer than the file", "header") {
            $0.values[0].replaceSubrange(0..<8, with: littleEndian(UInt64(1) << 50))
        },
        Fault("a key that is not UTF-8", "UTF-8") { $0.values[0][8] = 0xFF },
        Fault("a key twice", "general.name twice") { $0.values.append($0.values[0]) },
        Fault("an unknown type of value", "type of a value") { $0.value("x", 13, []) },
        Fault("a Boolean of 2", "Boolean") { $0.value("x", 7, [2]) },
        Fault("an array longer than the file", "count of at most") {
            $0.value("x", 9, littleEndian(UInt32(10)) + littleEndian(UInt64(1) << 61))
        },
        Fault("arrays too deep", "deep") { builder in
            let nested = (0..<6).flatMap { _ in littleEndian(UInt32(9)) + littleEndian(UInt64(1)) }
            builder.value("x", 9, nested + littleEndian(UInt32(0)) + littleEndian(UInt64(0)))
        },
        Fault("an alignment of 0", "general.alignment") { $0.value("general.alignment", 4, littleEndian(UInt32(0))) },
        Fault("an alignment of 24", "general.alignment") { $0.value("general.alignment", 4, littleEndian(UInt32(24))) },
        Fault("an alignment in words", "general.alignment") {
            $0.value("general.alignment", 8, GGUFBuilder.text("32"))
        },
        Fault("a name that is not UTF-8", "UTF-8") { $0.tensor([0xC3, 0x28], [1], 0, at: 64) },
        Fault("a name twice", "there twice") { $0.tensor("a", [1], 0, at: 64) },
        Fault("five dimensions", "dimensions") { $0.tensor("x", [1, 1, 1, 1, 1], 0, at: 64) },
        Fault("extents beyond counting", "shape") { $0.tensor("x", [1 << 40, 1 << 40], 0, at: 64) },
        Fault("an extent above a signed integer", "header") { $0.tensor("x", [.max], 0, at: 64) },
        Fault("a type that is not read", "Q2_K") { $0.tensor("x", [256], 10, at: 64) },
        Fault("a type that does not exist", "number 99") { $0.tensor("x", [1], 99, at: 64) },
        Fault("rows that are not whole blocks", "whole blocks") { $0.tensor("x", [48], 8, at: 64) },
        Fault("an offset between the multiples", "multiple of 32") { $0.tensor("x", [1], 0, at: 68) },
        Fault("elements beyond the file", "lies at bytes 64..<72") { $0.tensor("x", [2], 0, at: 64) },
        Fault("an offset far beyond the file", "lies at bytes") {
            $0.tensor("x", [2], 0, at: UInt64(Int64.max) / 32 * 32)
        },
        Fault("tensors that share bytes", "share bytes") { $0.tensor("x", [1], 0, at: 0) },
    ]

    @Test("a file that breaks the format is refused with what is wrong", arguments: faults)
    func bad(fault: Fault) throws {
        var builder = GGUFBuilder()
        builder.value("general.name", 8, GGUFBuilder.text("x"))
        builder.tensor("a", [3], 0, at: 0)
        builder.data = [UInt8](repeating: 0, count: 68)
        _ = try load(builder)
        fault.change(&builder)
        let error = #expect(throws: CheckpointError.self) { try load(builder) }
        #expect(error?.description.contains(fault.message) == true, "\(error?.description ?? "nothing")")
    }

    @Test("a file cut short, or damaged at random, is refused or loaded, never worse", .timeLimit(.minutes(2)))
    func damage() throws {
        let scratch = try Scratch()
        let whole = try GGUFWriterTests.writeSample(to: scratch.path("whole.gguf"))
        for count in stride(from: 0, to: whole.count, by: 7) {
            let path = try scratch.write(Array(whole.prefix(count)), as: "a.gguf")
            // The padding at the end belongs to no tensor.
            if count < whole.count - 64 {
                #expect(throws: CheckpointError.self, "\(count)") { try GGUFFile(path: path) }
            }
        }
        let target = DamageTarget(
            testDescription: "", source: "", name: "",
            pieces: [
                littleEndian(UInt64.max), littleEndian(UInt64(Int64.max)), littleEndian(UInt64(1) << 40),
                littleEndian(UInt32.max), littleEndian(UInt32(9)), littleEndian(UInt32(8)), littleEndian(UInt64(0)),
                littleEndian(UInt64(32)), Array("general.alignment".utf8),
            ])
        var generator = SeededGenerator(seed: 52)
        var refused = 0
        let memory = peakMemory()
        for _ in 0..<1000 {
            let path = try scratch.write(target.damaged(whole, &generator), as: "a.gguf")
            do {
                for tensor in try TensorFile.load(path: path).values {
                    #expect(bytes(of: tensor).count == tensor.elementType.byteCount(of: tensor.count))
                }
            } catch let error as CheckpointError {
                #expect(!error.description.isEmpty)
                refused += 1
            }
        }
        #expect(refused > 250)
        #expect(peakMemory() - memory < 64 << 20)
    }
}
