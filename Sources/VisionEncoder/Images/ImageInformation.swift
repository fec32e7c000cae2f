/// How the colours of a stored pixel are coded.
public enum ImageColorMode: String, Sendable, CaseIterable {
    case gray
    case grayAlpha = "gray with alpha"
    case palette
    case rgb = "RGB"
    case rgba = "RGB with alpha"
    case yCbCr = "YCbCr"
    case cmyk = "CMYK"
    case ycck = "YCCK"
}

/// What a file says about its picture, and what was done with it.
public struct ImageInformation: Hashable, Sendable {
    /// The file's format, told by its first bytes.
    public var format: ImageFormat
    /// How its colours are coded.
    public var mode: ImageColorMode
    /// Bits of a sample, or of a palette index.
    public var bitDepth: Int
    /// Whether it is an Adam7 PNG or a progressive JPEG.
    public var isProgressive: Bool
    /// Width and height as stored, before any EXIF orientation.
    public var storedSize: ImageSize
    /// The EXIF orientation that the file states, if any.
    public var exifOrientation: EXIFOrientation?
    /// Whether the pixels were turned upright by it.
    public var isOrientationApplied: Bool
    /// Number of flaws in the data that were passed over, as Pillow does, and the first of them.
    public var warningCount: Int
    /// The decoder's words for the first flaw; nil if there was none.
    public var firstWarning: String?
}
