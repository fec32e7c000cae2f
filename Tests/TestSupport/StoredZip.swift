public import Foundation

/// A zip archive of uncompressed entries, the container of PyTorch's checkpoints.
public struct StoredZip {
    private var entries = Data()
    private var directory = Data()
    private var count = 0

    /// An archive without entries.
    public init() {}

    /// Adds an entry.
    public mutating func add(_ name: String, _ contents: Data) {
        let offset = entries.count
        let common =
            Self.bytes(20, 2) + Self.bytes(0, 2) + Self.bytes(0, 2) + Self.bytes(0, 4)
            + Self.bytes(Int(CRC32.checksum(of: contents)), 4) + Self.bytes(contents.count, 4)
            + Self.bytes(contents.count, 4) + Self.bytes(name.utf8.count, 2) + Self.bytes(0, 2)
        entries += Self.bytes(0x0403_4B50, 4) + common + Data(name.utf8) + contents
        directory +=
            Self.bytes(0x0201_4B50, 4) + Self.bytes(20, 2) + common + Self.bytes(0, 2) + Self.bytes(0, 2)
            + Self.bytes(0, 2) + Self.bytes(0, 4) + Self.bytes(offset, 4) + Data(name.utf8)
        count += 1
    }

    /// The whole archive.
    public var data: Data {
        entries + directory + Self.bytes(0x0605_4B50, 4) + Self.bytes(0, 2) + Self.bytes(0, 2) + Self.bytes(count, 2)
            + Self.bytes(count, 2) + Self.bytes(directory.count, 4) + Self.bytes(entries.count, 4) + Self.bytes(0, 2)
    }

    private static func bytes(_ value: Int, _ width: Int) -> Data {
        Data((0..<width).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) })
    }
}
