internal import Bytes

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
    /// A file, or EXIF data inside one; why it cannot be read is never said.
    typealias Reader = ByteReader<[UInt8], ByteError>

    /// The orientation that a PNG or JPEG file states; nil if it states none, or nothing that can be understood.
    ///
    /// Damaged EXIF data never makes a picture unreadable: it counts as absent.
    init?(inFile bytes: [UInt8], format: ImageFormat) {
        guard let file = try? Reader(bytes, file: "", part: "EXIF"),
            let tiff = try? format == .png ? Self.exifChunk(ofPNG: file) : Self.exifSegment(ofJPEG: file),
            let value = try? Self.orientationTag(inTIFF: tiff)
        else { return nil }
        self.init(rawValue: value)
    }

    /// Tag 0x0112 of the first directory of a TIFF structure.
    static func orientationTag(inTIFF tiff: Reader) throws -> Int? {
        var header = tiff
        let isBigEndian: Bool
        switch try header.bigEndian(UInt32.self) {
        case 0x4949_2A00: isBigEndian = false
        case 0x4D4D_002A: isBigEndian = true
        default: return nil
        }
        func next<Value: FixedWidthInteger & BitwiseCopyable>(_ reader: inout Reader, _: Value.Type) throws -> Value {
            try isBigEndian ? reader.bigEndian() : reader.integer()
        }
        var directory = tiff
        try directory.skip(Int(next(&header, UInt32.self)))
        for _ in 0..<(try next(&directory, UInt16.self)) {
            guard try next(&directory, UInt16.self) == 0x0112 else {
                try directory.skip(10)
                continue
            }
            guard try next(&directory, UInt16.self) == 3, try next(&directory, UInt32.self) == 1 else { return nil }
            return try Int(next(&directory, UInt16.self))
        }
        return nil
    }

    /// The payload of the first APP1 segment that holds EXIF, looking no further than the first scan.
    private static func exifSegment(ofJPEG file: Reader) throws -> Reader? {
        let identifier = Array("Exif\0\0".utf8)
        var file = file
        try file.skip(2)
        while try file.integer(UInt8.self) == 0xFF {
            var marker = try file.integer(UInt8.self)
            while marker == 0xFF { marker = try file.integer() }  // fill bytes
            switch marker {
            case 0x01, 0xD0...0xD7: continue  // markers without a payload
            case 0xD9, 0xDA: return nil
            default: break
            }
            var segment = try file.reader(Int(file.bigEndian(UInt16.self)) - 2)
            if marker == 0xE1, segment.remaining >= identifier.count,
                try segment.bytes(identifier.count) == identifier
            {
                return try segment.reader(segment.remaining)
            }
        }
        return nil
    }

    /// The payload of the eXIf chunk.
    private static func exifChunk(ofPNG file: Reader) throws -> Reader? {
        var file = file
        try file.skip(8)
        while file.remaining > 0 {
            let length = try Int(file.bigEndian(UInt32.self))
            let type = try file.bytes(4)
            let chunk = try file.reader(length)
            if type == Array("eXIf".utf8) { return chunk }
            try file.skip(4)  // the checksum
        }
        return nil
    }
}
