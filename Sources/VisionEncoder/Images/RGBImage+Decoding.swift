import CImageCodecs
import Tensors

/// What to do with the orientation that a file's EXIF data states.
public enum OrientationPolicy: Sendable {
    /// Turns the picture upright.
    case applyEXIF
    /// Leaves the pixels as they are stored: what LLaVA and its descendants do.
    case asStored
}

extension RGBImage {
    /// Decodes the PNG or JPEG file at `path`. Its name does not matter, its first bytes do.
    ///
    /// The pixels are those of Pillow 10.2's `Image.open(path).convert('RGB')`, except that 16-bit gray is scaled to
    /// 8 bits where Pillow clips it. See `init(decoding:named:orientation:)`.
    /// - Throws: `ImageError`.
    public init(contentsOf path: String, orientation: OrientationPolicy = .asStored) throws {
        self = try Self.decode(contentsOf: path, orientation: orientation).image
    }

    /// Decodes the bytes of a PNG or JPEG file; `source` names them in errors.
    ///
    /// Sizes are checked before anything is allocated. Bytes that end early are an error. Smaller damage inside JPEG
    /// data, which libjpeg passes over, is passed over as in Pillow; `decode(_:named:orientation:)` reports it.
    /// - Throws: `ImageError`.
    public init(
        decoding bytes: [UInt8], named source: String = "standard input", orientation: OrientationPolicy = .asStored
    ) throws {
        self = try Self.decode(bytes, named: source, orientation: orientation).image
    }

    /// As `init(contentsOf:orientation:)`, with what the file says about its picture.
    public static func decode(
        contentsOf path: String, orientation: OrientationPolicy = .asStored
    ) throws -> (image: RGBImage, information: ImageInformation) {
        let bytes: [UInt8]
        do {
            let file = try MemoryMappedFile(path: path)
            guard file.byteCount <= RGBImage.byteLimit else {
                throw ImageError.tooManyBytes(source: path)
            }
            bytes = file.withBytes { $0.withUnsafeBytes { Array($0) } }
        } catch TensorError.unreadable(_, let reason) {
            throw ImageError.unreadable(source: path, reason: reason)
        }
        return try decode(bytes, named: path, orientation: orientation)
    }

    /// As `init(decoding:named:orientation:)`, with what the file says about its picture.
    public static func decode(
        _ bytes: [UInt8], named source: String = "standard input", orientation: OrientationPolicy = .asStored
    ) throws -> (image: RGBImage, information: ImageInformation) {
        var information = try information(of: bytes, named: source)
        var image = try ImageCodec(bytes: bytes, source: source).pixels(&information)
        if orientation == .applyEXIF, let found = information.exifOrientation {
            image = image.turned(found)
            information.isOrientationApplied = true
        }
        return (image, information)
    }

    /// What a PNG or JPEG file says about its picture; no pixel is decoded.
    /// - Throws: `ImageError`, also if the picture is too large to be decoded or must be incomplete.
    public static func information(
        of bytes: [UInt8], named source: String = "standard input"
    ) throws -> ImageInformation {
        try ImageCodec(bytes: bytes, source: source).information()
    }
}

/// One file's bytes with the C functions of its format.
private struct ImageCodec {
    typealias Header = (
        UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<vlm_image_header>?, UnsafeMutablePointer<vlm_image_report>?
    ) -> vlm_image_status
    typealias Decode = (
        UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<UInt8>?, Int, UnsafeMutablePointer<vlm_image_report>?
    ) -> vlm_image_status

    let bytes: [UInt8]
    let source: String
    let format: ImageFormat
    let header: Header
    let decode: Decode

    init(bytes: [UInt8], source: String) throws {
        guard !bytes.isEmpty else { throw ImageError.empty(source: source) }
        self.bytes = bytes
        self.source = source
        self.format = ImageFormat(signatureOf: bytes)
        switch format {
        case .png: (header, decode) = (vlm_png_header, vlm_png_decode)
        case .jpeg: (header, decode) = (vlm_jpeg_header, vlm_jpeg_decode)
        default: throw ImageError.unsupportedFormat(source: source, found: format)
        }
    }

    func information() throws -> ImageInformation {
        var found = vlm_image_header()
        let (warningCount, warning) = try call { header(bytes, bytes.count, &found, &$0) }
        let size = ImageSize(width: Int(found.width), height: Int(found.height))
        guard size.width <= RGBImage.sideLimit, size.height <= RGBImage.sideLimit, size.area <= RGBImage.pixelLimit
        else { throw ImageError.tooManyPixels(source: source, size: size) }
        guard found.pixel_bytes >= found.least_bytes else {
            throw ImageError.truncated(
                source: source, byteCount: bytes.count,
                reason: "\(found.pixel_bytes) of them for pixels, but \(size) take at least \(found.least_bytes)")
        }
        return ImageInformation(
            format: format, mode: Self.mode(found.mode), bitDepth: Int(found.bit_depth),
            isProgressive: found.is_progressive != 0, storedSize: size,
            exifOrientation: EXIFOrientation(inFile: bytes, format: format), isOrientationApplied: false,
            warningCount: warningCount, firstWarning: warning)
    }

    /// The pixels of a picture whose header has been checked.
    func pixels(_ information: inout ImageInformation) throws -> RGBImage {
        let size = information.storedSize
        let pixels = try [UInt8](unsafeUninitializedCapacity: size.area * 3) { buffer, count in
            let target = buffer.baseAddress
            (information.warningCount, information.firstWarning) = try call {
                decode(bytes, bytes.count, target, size.area * 3, &$0)
            }
            count = size.area * 3
        }
        return RGBImage(width: size.width, height: size.height, pixels: pixels)
    }

    /// Calls a C function with a message buffer; returns the warnings or throws the error.
    private func call(_ body: (inout vlm_image_report) -> vlm_image_status) throws -> (count: Int, first: String?) {
        try withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { message in
            message.initialize(repeating: 0)
            var report = vlm_image_report(message: message.baseAddress, capacity: message.count, warnings: 0)
            let status = body(&report)
            let text = message.baseAddress.map { String(cString: $0) } ?? ""
            switch status {
            case VLM_IMAGE_OK: return (Int(report.warnings), report.warnings > 0 ? text : nil)
            case VLM_IMAGE_TRUNCATED: throw ImageError.truncated(source: source, byteCount: bytes.count, reason: text)
            case VLM_IMAGE_UNSUPPORTED:
                throw ImageError.unsupportedVariant(source: source, format: format, reason: text)
            case VLM_IMAGE_TOO_LARGE: throw ImageError.tooMuchMemory(source: source, reason: text)
            default: throw ImageError.damaged(source: source, format: format, reason: text)
            }
        }
    }

    private static func mode(_ mode: vlm_image_mode) -> ImageColorMode {
        switch mode {
        case VLM_IMAGE_GRAY: .gray
        case VLM_IMAGE_GRAY_ALPHA: .grayAlpha
        case VLM_IMAGE_PALETTE: .palette
        case VLM_IMAGE_RGBA: .rgba
        case VLM_IMAGE_YCBCR: .yCbCr
        case VLM_IMAGE_CMYK: .cmyk
        case VLM_IMAGE_YCCK: .ycck
        default: .rgb
        }
    }
}
