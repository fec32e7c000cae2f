public import Foundation
import ModelFiles
public import Tensors

/// The checkpoint that ships in `fixtures/`, and changed copies of it.
public enum TinyModel {
    /// Where it lies.
    public static let directory = Fixtures.directory.appending(path: "tiny-model")
    /// Its path.
    public static var path: String { directory.path }

    /// A copy in a new directory, in which files may be changed.
    public static func copy() throws -> URL {
        let copy = try Fixtures.temporaryDirectory().appending(path: "model")
        try FileManager.default.copyItem(at: directory, to: copy)
        return copy
    }

    /// A copy with some keys of a JSON file replaced; a nil value takes the key away.
    public static func copy(
        changing keys: [String: Any?], in file: String = "config.json"
    ) throws -> URL {
        let copy = try copy()
        try change(keys, in: copy.appending(path: file))
        return copy
    }

    /// A copy with other weights.
    public static func copy(changingWeights change: (inout [String: Tensor]) throws -> Void) throws -> URL {
        let copy = try copy()
        var tensors = try SafetensorsFile(path: path + "/model.safetensors").tensors
        try change(&tensors)
        try SafetensorsWriter.write(tensors, to: copy.appending(path: "model.safetensors").path)
        return copy
    }

    /// A copy whose connector is a linear projector: a model without a query transformer.
    public static func copyWithProjector() throws -> URL {
        let copy = try copy { tensors in
            tensors = tensors.filter { !$0.key.contains("query_abstractor") }
            tensors["model.mm_projector.weight"] = .random([64, 64], seed: 5, amplitude: 0.2)
            tensors["model.mm_projector.bias"] = .random([64], seed: 6, amplitude: 0.1)
        }
        try change(["query_abstractor_type": nil, "num_visual_tokens": nil], in: copy.appending(path: "config.json"))
        return copy
    }

    /// Replaces keys of a JSON file.
    public static func change(_ keys: [String: Any?], in file: URL) throws {
        var object = try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any] ?? [:]
        for (key, value) in keys { object[key] = value }
        try JSONSerialization.data(withJSONObject: object).write(to: file)
    }
}

/// Pictures of the golden set.
public enum Pictures {
    /// A PNG of 91 x 37 pixels.
    public static let png = path("rgb8_91x37.png")
    /// A PNG of 64 x 48 pixels.
    public static let otherPNG = path("rgba8_64x48.png")
    /// A JPEG of 60 x 40 pixels that its EXIF data turns by 90 degrees.
    public static let turnedJPEG = path("jpg_exif6_422_60x40.jpg")
    /// A JPEG of 123 x 77 pixels.
    public static let jpeg = path("jpg_prog444_123x77.jpg")

    private static func path(_ name: String) -> String { Fixtures.golden.appending(path: "image/files/\(name)").path }

    /// The same bytes with the checksum of every chunk made right, as far as there are chunks.
    public static func repairingChecksums(ofPNG data: Data) -> Data {
        var bytes = Array(data)
        var offset = 8
        while offset + 12 <= bytes.count {
            let length = bytes[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
            let end = offset + 8 + length
            guard end + 4 <= bytes.count else { break }
            let checksum = CRC32.checksum(of: bytes[offset + 4..<end])
            for index in 0..<4 { bytes[end + index] = UInt8(truncatingIfNeeded: checksum >> (24 - 8 * index)) }
            offset = end + 4
        }
        return Data(bytes)
    }

    /// The beginning of a PNG that promises a picture of some size.
    public static func pngHeader(width: UInt32, height: UInt32) -> Data {
        func bigEndian(_ value: UInt32) -> [UInt8] {
            (0..<4).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
        }
        func chunk(_ type: String, _ body: [UInt8]) -> [UInt8] {
            let checked = Array(type.utf8) + body
            return bigEndian(UInt32(body.count)) + checked + bigEndian(CRC32.checksum(of: checked))
        }
        return Data([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
            + Data(chunk("IHDR", bigEndian(width) + bigEndian(height) + [8, 2, 0, 0, 0]))
            + Data(chunk("IDAT", [0x78, 0x9C, 3, 0, 0, 0, 0, 1])) + Data(chunk("IEND", []))
    }
}
