import Bytes
import Foundation
import TestSupport
import Testing

@testable import VisionEncoder

/// A tensor of a safetensors file, whole in memory.
struct StoredTensor {
    let shape: [Int]
    let type: String
    let bytes: [UInt8]

    var floats: [Float] {
        bytes.withUnsafeBytes { raw in
            (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        }
    }
}

/// A minimal reader for the golden files, to be replaced by the one in ModelFiles.
func storedTensors(_ url: URL) throws -> [String: StoredTensor] {
    let bytes = [UInt8](try Data(contentsOf: url))
    let headerLength = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try JSONParser.value(of: Array(bytes[8..<8 + headerLength])).object ?? [:]
    var tensors: [String: StoredTensor] = [:]
    for (name, value) in header where name != "__metadata__" {
        guard case .object(let entry) = value, case .array(let shape) = entry["shape"],
            case .array(let offsets) = entry["data_offsets"], case .string(let type) = entry["dtype"],
            let first = offsets[0].int, let end = offsets[1].int
        else { continue }
        tensors[name] = StoredTensor(
            shape: shape.compactMap(\.int), type: type,
            bytes: Array(bytes[8 + headerLength + first..<8 + headerLength + end]))
    }
    return tensors
}

/// The golden pictures with all that is recorded about them.
struct GoldenImages: Sendable {
    static let directory = Fixtures.golden.appending(path: "image")
    /// Loaded once; a golden set that cannot be read gives no cases, which the first test of the suite reports.
    static let all: [GoldenImage] = (try? load()) ?? []
    static let tensors: [String: StoredTensor] =
        (try? storedTensors(directory.appending(path: "expected.safetensors"))) ?? [:]
    /// Side of the small results.
    static let smallSide: Int = (try? object("manifest.json"))?.at("extra", "small_size")?.int ?? 0

    static func object(_ file: String) throws -> JSONValue {
        try JSONParser.value(of: Array(Data(contentsOf: directory.appending(path: file))))
    }

    private static func load() throws -> [GoldenImage] {
        guard case .object(let entries) = try object("images.json") else { return [] }
        return entries.sorted { $0.key < $1.key }.map { GoldenImage(file: $0.key, record: $0.value) }
    }
}

struct GoldenImage: Sendable, CustomTestStringConvertible {
    let file: String
    let record: JSONValue

    var testDescription: String { file }
    var key: String { record.at("key")?.text ?? "" }
    var path: String { GoldenImages.directory.appending(path: "files/\(file)").path }
    var bytes: [UInt8] { (try? Data(contentsOf: URL(filePath: path))).map { [UInt8]($0) } ?? [] }
    var size: ImageSize {
        ImageSize(width: record.at("width")?.int ?? 0, height: record.at("height")?.int ?? 0)
    }

    /// What is recorded under `<key>.<name>`.
    func tensor(_ name: String) -> StoredTensor? { GoldenImages.tensors["\(key).\(name)"] }
    /// The pixels we mean to decode differ from Pillow's: its clipped 16-bit gray.
    var differsOnPurpose: Bool { tensor("rgb_scaled") != nil }

    /// The pixels that the recorded results were made of.
    func official() throws -> RGBImage {
        if differsOnPurpose, let stored = tensor("rgb") {
            return RGBImage(width: stored.shape[1], height: stored.shape[0], pixels: stored.bytes)
        }
        return try RGBImage(contentsOf: path)
    }
}

extension JSONValue {
    func at(_ keys: String...) -> JSONValue? {
        keys.reduce(self) { value, key in
            if case .object(let pairs)? = value { pairs[key] } else { nil }
        }
    }

    var text: String? {
        if case .string(let text) = self { text } else { nil }
    }

    var items: [JSONValue] {
        if case .array(let items) = self { items } else { [] }
    }

    /// [width, height].
    var size: ImageSize? {
        guard items.count == 2, let first = items[0].int, let second = items[1].int else { return nil }
        return ImageSize(width: first, height: second)
    }
}

extension RGBImage {
    /// [3, height, width], every `step`th row and column.
    func channelsFirst(every step: Int = 1) -> [UInt8] {
        let rows = channelsLast(every: step)
        return (0..<3).flatMap { channel in stride(from: channel, to: rows.count, by: 3).map { rows[$0] } }
    }

    /// [height, width, 3], every `step`th row and column.
    func channelsLast(every step: Int) -> [UInt8] {
        var kept: [UInt8] = []
        for y in stride(from: 0, to: height, by: step) {
            for x in stride(from: 0, to: width, by: step) {
                let pixel = (y * width + x) * 3
                kept += pixels[pixel..<pixel + 3]
            }
        }
        return kept
    }
}

extension CLIPImageProcessor {
    /// CLIP's steps at another size.
    init(side: Int) {
        self.init()
        size = .shortestEdge(side)
        cropSize = ImageSize(width: side, height: side)
    }
}
