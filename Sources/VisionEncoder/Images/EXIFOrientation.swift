/// How a picture's stored rows and columns lie relative to the scene, as the EXIF tag 0x0112 numbers it.
///
/// The name says what must be done to the stored pixels to see them upright.
public enum EXIFOrientation: Int, Sendable, CaseIterable {
    case upright = 1
    case mirrorLeftRight = 2
    case rotate180 = 3
    case mirrorTopBottom = 4
    case transpose = 5
    case rotate90Clockwise = 6
    case transverse = 7
    case rotate90CounterClockwise = 8

    /// Whether width and height change places.
    public var swapsSides: Bool { rawValue >= 5 }
}

// MARK: - Finding the tag

extension EXIFOrientation {
    /// The orientation that a PNG or JPEG file states; nil if it states none, or nothing that can be understood.
    ///
    /// Damaged EXIF data never makes a picture unreadable: it counts as absent.
    init?(inFile bytes: [UInt8], format: ImageFormat) {
        let reader = ByteReader(bytes)
        let tiff = format == .png ? Self.exifChunk(ofPNG: reader) : Self.exifSegment(ofJPEG: reader)
        guard let tiff, let value = Self.orientationTag(inTIFF: tiff) else { return nil }
        self.init(rawValue: value)
    }

    /// Tag 0x0112 of the first directory of a TIFF structure.
    static func orientationTag(inTIFF tiff: ByteReader) -> Int? {
        let order: ByteReader.Order
        switch tiff.integer(at: 0, width: 4) {
        case 0x4949_2A00: order = .littleEndian
        case 0x4D4D_002A: order = .bigEndian
        default: return nil
        }
        guard let directory = tiff.integer(at: 4, width: 4, order),
            let entries = tiff.integer(at: directory, width: 2, order)
        else { return nil }
        for index in 0..<entries {
            let entry = directory + 2 + 12 * index
            guard let tag = tiff.integer(at: entry, width: 2, order) else { return nil }
            guard tag == 0x0112 else { continue }
            let isOneShort =
                tiff.integer(at: entry + 2, width: 2, order) == 3
                && tiff.integer(at: entry + 4, width: 4, order) == 1
            return isOneShort ? tiff.integer(at: entry + 8, width: 2, order) : nil
        }
        return nil
    }

    /// The payload of the first APP1 segment that holds EXIF, looking no further than the first scan.
    private static func exifSegment(ofJPEG file: ByteReader) -> ByteReader? {
        let identifier = Array("Exif\0\0".utf8)
        var offset = 2
        while let marker = file.integer(at: offset, width: 2), marker >> 8 == 0xFF {
            switch marker & 0xFF {
            case 0xFF:  // a fill byte
                offset += 1
            case 0x01, 0xD0...0xD7:  // markers without a payload
                offset += 2
            case 0xD9, 0xDA:
                return nil
            default:
                guard let length = file.integer(at: offset + 2, width: 2), length >= 2 else { return nil }
                if marker == 0xFFE1, file.matches(identifier, at: offset + 4), length >= 2 + identifier.count {
                    return file.slice(at: offset + 4 + identifier.count, count: length - 2 - identifier.count)
                }
                offset += 2 + length
            }
        }
        return nil
    }

    /// The payload of the eXIf chunk.
    private static func exifChunk(ofPNG file: ByteReader) -> ByteReader? {
        var offset = 8
        while let length = file.integer(at: offset, width: 4), length < 1 << 31 {
            if file.matches(Array("eXIf".utf8), at: offset + 4) { return file.slice(at: offset + 8, count: length) }
            offset += 12 + length
        }
        return nil
    }
}
