/// A PNG of 8-bit RGB with a right header and any bytes for its compressed pixels.
func pngBytes(width: Int, height: Int, data: [UInt8]) -> [UInt8] {
    let header = bigEndian(width, 4) + bigEndian(height, 4) + [8, 2, 0, 0, 0]
    return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + pngChunk("IHDR", header) + pngChunk("IDAT", data)
        + pngChunk("IEND", [])
}

/// A PNG chunk with its checksum.
func pngChunk(_ type: String, _ payload: [UInt8]) -> [UInt8] {
    let body = Array(type.utf8) + payload
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in body {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }
    return bigEndian(payload.count, 4) + body + bigEndian(Int(~crc), 4)
}

/// An EXIF structure whose first directory has other tags around the orientation.
func exifBytes(orientation: Int, isLittleEndian: Bool) -> [UInt8] {
    func number(_ value: Int, _ width: Int) -> [UInt8] {
        isLittleEndian ? bigEndian(value, width).reversed() : bigEndian(value, width)
    }
    func entry(_ tag: Int, _ value: Int) -> [UInt8] {
        number(tag, 2) + number(3, 2) + number(1, 4) + number(value, 2) + [0, 0]
    }
    return Array((isLittleEndian ? "II" : "MM").utf8) + number(42, 2) + number(8, 4) + number(3, 2)
        + entry(0x0100, 9) + entry(0x0112, orientation) + entry(0x0128, 2) + number(0, 4)
}

extension [UInt8] {
    /// The JPEG with an EXIF segment in front of all others.
    func insertingJPEGExif(_ exif: [UInt8]) -> [UInt8] {
        let payload = Array("Exif\0\0".utf8) + exif
        return self[..<2] + [0xFF, 0xE1] + bigEndian(payload.count + 2, 2) + payload + self[2...]
    }

    /// The PNG with an eXIf chunk behind its header, or before its end.
    func insertingPNGExif(_ exif: [UInt8], atEnd: Bool) -> [UInt8] {
        let position = atEnd ? count - 12 : 33
        return self[..<position] + pngChunk("eXIf", exif) + self[position...]
    }

    /// Whether a restart marker stands somewhere.
    var hasRestartMarkers: Bool { zip(self, dropFirst()).contains { $0 == 0xFF && $1 == 0xD0 } }
}

private func bigEndian(_ value: Int, _ width: Int) -> [UInt8] {
    (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * (width - 1 - $0))) }
}
