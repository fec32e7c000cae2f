/// A file format told by its first bytes, never by the file's name.
public enum ImageFormat: String, Sendable, CaseIterable {
    case png = "PNG"
    case jpeg = "JPEG"
    case webP = "WebP"
    case gif = "GIF"
    case bmp = "BMP"
    case tiff = "TIFF"
    case heic = "HEIC"
    case avif = "AVIF"
    case jpegXL = "JPEG XL"
    case jpeg2000 = "JPEG 2000"
    case svg = "SVG drawing"
    case xml = "XML document"
    case html = "web page"
    case pdf = "PDF document"
    case lfsPointer = "git LFS pointer"
    case unknown = "file of unknown format"

    /// The format whose signature `bytes` begins with. Reads at most the first kilobyte.
    public init(signatureOf bytes: [UInt8]) {
        let match = Self.signatures.first { _, parts in
            parts.allSatisfy { bytes.dropFirst($0.offset).starts(with: $0.bytes) }
        }
        self = match?.format ?? Self.text(bytes.prefix(1024)) ?? .unknown
    }

    /// Bytes that must stand at an offset.
    private struct Signature {
        let offset: Int
        let bytes: [UInt8]
    }

    private static func at(_ offset: Int, _ text: String) -> Signature {
        Signature(offset: offset, bytes: Array(text.utf8))
    }
    private static func start(_ bytes: UInt8...) -> Signature { Signature(offset: 0, bytes: bytes) }
    private static func brand(_ format: ImageFormat, _ name: String) -> (format: ImageFormat, [Signature]) {
        (format, [at(4, "ftyp"), at(8, name)])
    }

    private static let signatures: [(format: ImageFormat, [Signature])] = [
        (.png, [start(0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A)]),
        (.jpeg, [start(0xFF, 0xD8, 0xFF)]),
        (.webP, [at(0, "RIFF"), at(8, "WEBP")]),
        (.gif, [at(0, "GIF8")]),
        (.bmp, [at(0, "BM"), Signature(offset: 6, bytes: [0, 0, 0, 0])]),
        (.tiff, [start(0x49, 0x49, 42, 0)]), (.tiff, [start(0x4D, 0x4D, 0, 42)]),
        brand(.avif, "avif"), brand(.avif, "avis"),
        brand(.heic, "heic"), brand(.heic, "heix"), brand(.heic, "hevc"), brand(.heic, "mif1"), brand(.heic, "msf1"),
        (.jpegXL, [start(0xFF, 0x0A)]), (.jpegXL, [at(4, "JXL ")]),
        (.jpeg2000, [at(4, "jP  ")]), (.jpeg2000, [start(0xFF, 0x4F, 0xFF, 0x51)]),
        (.pdf, [at(0, "%PDF")]),
        (.lfsPointer, [at(0, "version https://git-lfs")]),
    ]

    /// Markup, after a byte order mark and blanks.
    private static func text(_ head: ArraySlice<UInt8>) -> ImageFormat? {
        let words = String(decoding: head, as: UTF8.self).lowercased().drop { $0.isWhitespace || $0 == "\u{FEFF}" }
        if words.hasPrefix("<!doctype html") || words.hasPrefix("<html") { return .html }
        guard words.hasPrefix("<") else { return nil }
        if words.contains("<svg") { return .svg }
        return words.hasPrefix("<?xml") ? .xml : nil
    }
}

extension ImageFormat {
    /// Whether pictures of this format can be decoded.
    public var isSupported: Bool { self == .png || self == .jpeg }

    var article: String { [.heic, .avif, .svg, .xml].contains(self) ? "an" : "a" }

    var advice: String {
        switch self {
        case .png, .jpeg: "it can be decoded"
        case .html: "a download probably failed; fetch the picture itself"
        case .lfsPointer: "run `git lfs pull` to get the picture"
        case .pdf: "turn a page into a picture first, for example with `pdftoppm -png`"
        case .svg: "render it first, for example with `rsvg-convert -o picture.png`"
        case .xml, .unknown: "give a picture, or save it as PNG"
        default: "convert it first, for example with `convert PICTURE picture.png`"
        }
    }
}
