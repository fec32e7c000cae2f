import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

/// A file that is damaged at random, and how it is opened.
struct DamageTarget: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// Path in the golden set.
    var source: String
    var name: String
    /// Pieces that are likely to reach rare paths when they are written over or between the bytes.
    var pieces: [[UInt8]]
    /// What lies beside the file.
    var neighbours: [String] = []

    private static let words: [[UInt8]] = [
        "9223372036854775807", "-9223372036854775808", "-1", "1e999", "null", "[", "]", "{", "}", "\"", ",", ":", "\\u",
        "0", "\\ud800",
        "\"F16\"", "\"BOOL\"", "[]", "../", "/",
    ].map { Array($0.utf8) }

    private static let numbers: [[UInt8]] = [
        [0x8A, 8] + littleEndian(Int64.max), [0x8A, 8] + littleEndian(Int64.min), [0x8A, 1, 0xFF], [0x4B, 0],
        [0x4D, 0xFF, 0xFF],
        [0x4A] + littleEndian(Int32.max), [0x29], [0x85], [0x86], [0x87], [0x28], [0x74], [0x32], [0x30], [0x31],
        [0x52], [0x51],
        [0x62], [0x73], [0x75], [0x65], [0x7D], [0x5D], [0x94], [0x68, 0], [0x4E], [0x2E],
        littleEndian(UInt32.max), littleEndian(UInt64.max), littleEndian(UInt64(Int.max)), littleEndian(UInt16.max),
        [0, 0, 0, 0],
        Array("ctorch\nLongStorage\n".utf8), Array("PK\u{5}\u{6}".utf8), Array("PK\u{6}\u{7}".utf8),
        Array("PK\u{1}\u{2}".utf8),
    ]

    static let all = [
        DamageTarget(
            testDescription: "safetensors", source: "mqt/weights.safetensors", name: "model.safetensors", pieces: words),
        DamageTarget(
            testDescription: "torch archive", source: "llava/torch_zip_odd.bin", name: "pytorch_model.bin",
            pieces: numbers),
        DamageTarget(
            testDescription: "adapter", source: "llava/query_abstractor.bin", name: "query_abstractor.bin",
            pieces: numbers),
        DamageTarget(
            testDescription: "index", source: "llava/checkpoint_safetensors/model.safetensors.index.json",
            name: "model.safetensors.index.json", pieces: words,
            neighbours: ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]),
        DamageTarget(
            testDescription: "config", source: "llava/checkpoint_bin/config.json", name: "config.json", pieces: words,
            neighbours: ["pytorch_model.bin"]),
    ]

    /// The bytes with one to four random changes.
    func damaged(_ bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        // What is read first and last steers everything else: most changes go there.
        func place(_ generator: inout SeededGenerator) -> Int {
            guard !bytes.isEmpty else { return 0 }
            let edge = min(bytes.count, 2000)
            switch Int.random(in: 0..<5, using: &generator) {
            case 0: return Int.random(in: 0..<bytes.count, using: &generator)
            case 1, 2: return Int.random(in: 0..<edge, using: &generator)
            default: return bytes.count - 1 - Int.random(in: 0..<edge, using: &generator)
            }
        }
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
            let at = place(&generator)
            switch Int.random(in: 0..<7, using: &generator) {
            case 0 where !bytes.isEmpty: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 1 where !bytes.isEmpty: bytes[at] = UInt8.random(in: 0...255, using: &generator)
            case 2: bytes.removeLast(Int.random(in: 0...min(bytes.count, 64), using: &generator))
            case 3: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...16, using: &generator)))
            case 4:
                let from = place(&generator)
                let piece = bytes[from..<min(bytes.count, from + Int.random(in: 1...64, using: &generator))]
                bytes.insert(contentsOf: Array(piece), at: at)
            case 5: bytes.insert(contentsOf: pieces.randomElement(using: &generator) ?? [], at: at)
            default:
                let piece = pieces.randomElement(using: &generator) ?? []
                bytes.replaceSubrange(at..<min(bytes.count, at + piece.count), with: piece)
            }
        }
        return bytes
    }
}

@Suite("Damaged files")
struct DamagedFilesTests {
    @Test(
        "a file with random damage is refused or loaded, never worse", .timeLimit(.minutes(2)),
        arguments: DamageTarget.all)
    func damage(target: DamageTarget) throws {
        let scratch = try Scratch()
        let source = Fixtures.golden.appending(path: target.source)
        let original = try Array(Data(contentsOf: source))
        for neighbour in target.neighbours {
            try FileManager.default.copyItem(
                at: source.deletingLastPathComponent().appending(path: neighbour),
                to: scratch.url.appending(path: neighbour))
        }
        if target.name != "config.json" { try scratch.write("{}", as: "config.json") }
        try scratch.write(original, as: target.name)
        _ = try CheckpointDirectory(path: scratch.path)

        let memory = peakMemory()
        var generator = SeededGenerator(seed: 20)
        var refused = 0
        var loaded = 0
        for _ in 0..<1000 {
            try scratch.write(target.damaged(original, &generator), as: target.name)
            do {
                let checkpoint = try CheckpointDirectory(path: scratch.path)
                // Whatever was accepted must be readable from the first to the last byte.
                for tensor in checkpoint.tensors.values {
                    #expect(bytes(of: tensor).count == tensor.shape.reduce(1, *) * tensor.elementType.byteCount)
                }
                loaded += 1
            } catch let error as CheckpointError {
                #expect(!error.description.isEmpty)
                refused += 1
            }
        }
        #expect(refused > 300 && refused + loaded == 1000)
        #expect(peakMemory() - memory < 256 << 20)
    }

    @Test("a safetensors file cut short anywhere in its header or elements is refused")
    func truncations() throws {
        let scratch = try Scratch()
        try SafetensorsWriter.write(
            ["a": Tensor(repeating: 1, shape: [3]), "b": Tensor(repeating: 2, shape: [2, 2])], to: scratch.path("whole")
        )
        let whole = try Array(Data(contentsOf: scratch.url.appending(path: "whole")))
        for count in 0..<whole.count {
            let path = try scratch.write(Array(whole.prefix(count)), as: "a.safetensors")
            #expect(throws: CheckpointError.self, "\(count)") { try SafetensorsFile(path: path) }
        }
    }
}

/// The most memory this process has had, in bytes.
func peakMemory() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
}
