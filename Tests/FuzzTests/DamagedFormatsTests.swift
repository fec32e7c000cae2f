import Foundation
import FuzzTargets
import TestSupport
import Testing

@Suite("Hostile files of every format")
struct DamagedFormatsTests {
    /// Reads bytes that may be damaged; whether they were accepted.
    private func accepts(_ bytes: [UInt8], _ target: FuzzTarget, _ name: @autoclosure () -> String) -> Bool {
        do {
            try target.read(bytes)
            return true
        } catch {
            if !FuzzTarget.isExpected(error) { Issue.record("\(name()): \(type(of: error)): \(error)") }
            return false
        }
    }

    @Test("the seeds of every format are read", arguments: FuzzTarget.allCases)
    func seeds(target: FuzzTarget) throws {
        let seeds = try FuzzSeeds.of(target)
        let read = seeds.enumerated().count { accepts($0.element, target, "seed \($0.offset)") }
        // No configuration is one of every kind, and of the GGUF files one is no model.
        let expected = target == .json ? 0 : target == .gguf ? seeds.count - 1 : seeds.count
        #expect(read == expected && !seeds.isEmpty)
    }

    @Test("every file that once made a reader fail is read or refused", arguments: FuzzTarget.allCases)
    func regressions(target: FuzzTarget) throws {
        let directory = Fixtures.directory.appending(path: "regressions/\(target.rawValue)")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        for name in names.sorted() {
            _ = accepts(try Array(Data(contentsOf: directory.appending(path: name))), target, name)
        }
    }

    @Test("a seed cut short anywhere is read or refused", arguments: FuzzTarget.allCases)
    func truncations(target: FuzzTarget) throws {
        for (index, seed) in try FuzzSeeds.of(target).enumerated() {
            // Every place of the first bytes and of the last, and some between.
            let places = Set(0..<min(64, seed.count)).union(max(0, seed.count - 24)..<seed.count)
                .union(stride(from: 0, to: seed.count, by: max(1, seed.count / 100)))
            for count in places.sorted() {
                _ = accepts(Array(seed.prefix(count)), target, "seed \(index), \(count) bytes")
            }
        }
    }

    @Test("a seed with changed bytes is read or refused", arguments: FuzzTarget.allCases)
    func changes(target: FuzzTarget) throws {
        var generator = SeededGenerator(seed: 71)
        var refused = 0
        let seeds = try FuzzSeeds.of(target)
        for index in 0..<400 {
            let damaged = generator.mutation(of: seeds[index % seeds.count])
            if !accepts(damaged, target, "mutation \(index)") { refused += 1 }
        }
        #expect(refused > 40, "\(refused) of 400 refused")
    }
}

extension SeededGenerator {
    /// Numbers that a length, a count or an offset can be changed to.
    private static let lies: [UInt64] = [
        0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 40, 1 << 62,
        UInt64(Int64.max), 1 << 63, .max,
    ]

    /// The bytes with one to three changes: flipped bits, lies of 1 to 8 bytes, pieces taken out, doubled or swapped.
    fileprivate mutating func mutation(of bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &self) where !bytes.isEmpty {
            let at = place(in: bytes.count)
            switch Int.random(in: 0..<6, using: &self) {
            case 0: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &self)
            case 1: bytes[at] = UInt8.random(in: 0...255, using: &self)
            case 2, 3:
                let width = [1, 2, 4, 8].randomElement(using: &self) ?? 1
                var number = Self.lies.randomElement(using: &self) ?? 0
                // Image formats and zip disagree about which byte comes first.
                if Bool.random(using: &self) { number = number.byteSwapped >> UInt64(64 - 8 * width) }
                for index in 0..<width where at + index < bytes.count {
                    bytes[at + index] = UInt8(truncatingIfNeeded: number >> UInt64(8 * index))
                }
            case 4: bytes.removeSubrange(at..<min(bytes.count, at + Int.random(in: 1...12, using: &self)))
            default:
                let piece = Array(bytes[at..<min(bytes.count, at + Int.random(in: 1...48, using: &self))])
                bytes.insert(contentsOf: piece, at: place(in: bytes.count))
            }
        }
        return bytes
    }

    /// A place, half of the time near an end, where headers and directories lie.
    private mutating func place(in count: Int) -> Int {
        let edge = min(count, 160)
        return switch Int.random(in: 0..<4, using: &self) {
        case 0: Int.random(in: 0..<edge, using: &self)
        case 1: count - 1 - Int.random(in: 0..<edge, using: &self)
        default: Int.random(in: 0..<count, using: &self)
        }
    }
}
