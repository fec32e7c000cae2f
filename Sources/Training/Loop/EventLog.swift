public import Foundation

/// A log of scalars that TensorBoard reads: records of length and checksum around protocol-buffer messages.
///
/// Source: tensorflow `tsl/lib/io/record_writer.cc` (framing, masked CRC-32C) and `tensorflow/core/util/event.proto`.
public final class EventLog {
    private let handle: FileHandle

    /// Opens the file for appending, making it with the record that begins every log.
    /// - Parameter url: its name must contain `tfevents`, or TensorBoard passes over it.
    /// - Throws: the system's error if the file cannot be opened or written.
    public init(url: URL) throws {
        let isNew = !FileManager.default.fileExists(atPath: url.path)
        if isNew { try Data().write(to: url) }
        handle = try FileHandle(forWritingTo: url)
        try handle.seekToEnd()
        if isNew {
            var event = Message()
            event.double(1, Date().timeIntervalSince1970)
            event.bytes(3, Array("brain.Event:2".utf8))
            try append(event)
        }
    }

    deinit { try? handle.close() }

    /// Adds the values of a step under their tags, in the order of the tags.
    public func write(step: Int, _ scalars: [String: Double]) throws {
        var summary = Message()
        for (tag, value) in scalars.sorted(by: { $0.key < $1.key }) {
            var scalar = Message()
            scalar.bytes(1, Array(tag.utf8))
            scalar.float(2, Float(value))
            summary.bytes(1, scalar.bytes)
        }
        var event = Message()
        event.double(1, Date().timeIntervalSince1970)
        event.varint(2, UInt64(step))
        event.bytes(5, summary.bytes)
        try append(event)
    }

    private func append(_ event: Message) throws {
        let length = Self.littleEndian(UInt64(event.bytes.count), 8)
        var record = length + Self.littleEndian(UInt64(Self.maskedChecksum(length)), 4) + event.bytes
        record += Self.littleEndian(UInt64(Self.maskedChecksum(event.bytes)), 4)
        try handle.write(contentsOf: Data(record))
    }

    private static func littleEndian(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }

    /// CRC-32C, rotated and offset so that checksums of data with checksums in it stay good ones.
    static func maskedChecksum(_ bytes: [UInt8]) -> UInt32 {
        var crc = UInt32.max
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 1 ? 0x82F6_3B78 : 0) }
        }
        crc = ~crc
        return (crc >> 15 | crc << 17) &+ 0xA282_EAD8
    }
}

/// A protocol-buffer message as it is written: fields one after the other.
private struct Message {
    private(set) var bytes: [UInt8] = []

    private mutating func key(_ field: Int, _ type: Int) { append(UInt64(field << 3 | type)) }

    private mutating func append(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func varint(_ field: Int, _ value: UInt64) {
        key(field, 0)
        append(value)
    }

    mutating func double(_ field: Int, _ value: Double) {
        key(field, 1)
        for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> (8 * UInt64(shift)))) }
    }

    mutating func float(_ field: Int, _ value: Float) {
        key(field, 5)
        for shift in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: value.bitPattern >> (8 * UInt32(shift)))) }
    }

    mutating func bytes(_ field: Int, _ value: [UInt8]) {
        key(field, 2)
        append(UInt64(value.count))
        bytes += value
    }
}
