internal import Bytes

/// What can go wrong between a picture's bytes and a model's pixels.
///
/// `source` is the path of the file, or what the caller named the bytes ("standard input").
public enum ImageError: Error, Equatable, CustomStringConvertible {
    /// The file could not be opened or read.
    case unreadable(source: String, reason: String)
    /// There are no bytes.
    case empty(source: String)
    /// The bytes are not PNG or JPEG.
    case unsupportedFormat(source: String, found: ImageFormat)
    /// A kind of PNG or JPEG that cannot be decoded, such as 12-bit JPEG.
    case unsupportedVariant(source: String, format: ImageFormat, reason: String)
    /// The bytes end before the picture does.
    case truncated(source: String, byteCount: Int, reason: String)
    /// The bytes are not what their format allows.
    case damaged(source: String, format: ImageFormat, reason: String)
    /// The header announces more pixels than `RGBImage.pixelLimit` or a side longer than `RGBImage.sideLimit`.
    case tooManyPixels(source: String, size: ImageSize)
    /// The file is longer than `RGBImage.byteLimit`.
    case tooManyBytes(source: String)
    /// Decoding would take more work memory than its limit.
    case tooMuchMemory(source: String, reason: String)
    /// An intermediate picture of the processing would have more pixels than `RGBImage.pixelLimit`.
    case intermediateTooLarge(step: String, original: ImageSize, size: ImageSize)
    /// A key of a JSON configuration has a value that is missing, of the wrong type or not supported.
    case configuration(file: String, key: String, expected: String, got: String)

    /// What failed, where, what was found and what to do.
    public var description: String {
        switch self {
        case .unreadable(let source, let reason):
            "cannot read \(source): \(reason)"
        case .empty(let source):
            "\(source) is empty: a PNG or JPEG picture is expected"
        case .unsupportedFormat(let source, let found):
            "\(source) is \(found.article) \(found.rawValue), not a PNG or JPEG picture: \(found.advice)"
        case .unsupportedVariant(let source, let format, let reason):
            "\(source) is a kind of \(format.rawValue) that cannot be decoded (\(reason)): "
                + "save it as an ordinary 8-bit PNG or JPEG"
        case .truncated(let source, let byteCount, let reason):
            "\(source) is incomplete: it ends after \(byteCount) bytes, \(reason): copy or download it again"
        case .damaged(let source, let format, let reason):
            "\(source) is a damaged \(format.rawValue) (\(reason)): "
                + "copy or download it again, or save it anew from a viewer that still opens it"
        case .tooManyPixels(let source, let size):
            "\(source) is \(size) pixels: at most \(RGBImage.pixelLimit) pixels and \(RGBImage.sideLimit) a side "
                + "are decoded: scale it down or cut it first"
        case .tooManyBytes(let source):
            "\(source) is longer than \(RGBImage.byteLimit) bytes, the limit for pictures: scale it down first"
        case .tooMuchMemory(let source, let reason):
            "\(source) cannot be decoded: \(reason): scale it down, or save it as a baseline JPEG or PNG"
        case .intermediateTooLarge(let step, let original, let size):
            "a picture of \(original) pixels becomes \(size) by \(step), more than the limit of "
                + "\(RGBImage.pixelLimit) pixels: crop it to a less extreme shape"
        case .configuration(let file, let key, let expected, let got):
            "\(file): \(key) is \(got), expected \(expected)"
        }
    }
}

extension ImageError: JSONReadingError {
    package static func invalidJSON(file: String, line: Int, column: Int, reason: String) -> Self {
        unexpectedValue(
            file: file, key: "", expected: "", got: "not JSON (line \(line), column \(column): \(reason))")
    }

    package static func unexpectedValue(file: String, key: String, expected: String, got: String) -> Self {
        key.isEmpty
            ? .configuration(file: file, key: "the file", expected: "one JSON object", got: got)
            : .configuration(file: file, key: key, expected: expected, got: got)
    }
}
