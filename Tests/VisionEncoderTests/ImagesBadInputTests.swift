import Foundation
import Tensors
import TestSupport
import Testing

@testable import VisionEncoder

@Suite("Damaged, foreign and absurd files")
struct ImagesBadInputTests {
    @Test("a file that ends early is an error that says how much was there", arguments: GoldenImages.all)
    func prefixes(golden: GoldenImage) throws {
        let bytes = golden.bytes
        let step = max(1, bytes.count / 60)
        let lengths = Array(stride(from: 0, to: bytes.count, by: step)) + Array(max(0, bytes.count - 16)..<bytes.count)
        for length in lengths {
            let error = #expect(throws: ImageError.self, "\(length) of \(bytes.count) bytes") {
                try RGBImage(decoding: Array(bytes.prefix(length)), named: golden.file)
            }
            guard length > 8, let error else { continue }
            guard case .truncated(golden.file, length, let reason) = error else {
                Issue.record("\(length) of \(bytes.count) bytes: \(error)")
                continue
            }
            #expect(!reason.isEmpty && "\(error)".contains("\(length) bytes"))
        }
    }

    @Test("flipped bits give a picture of the stated size or an error, soon", arguments: GoldenImages.all)
    func bitFlips(golden: GoldenImage) throws {
        let bytes = golden.bytes
        var generator = SeededGenerator(seed: UInt64(bytes.count))
        let start = ContinuousClock.now
        for round in 0..<150 {
            var damaged = bytes
            for _ in 0...round % 4 {
                // Every other round the header, where a bit can do most.
                let reach = round % 2 == 0 ? min(400, bytes.count) : bytes.count
                damaged[Int.random(in: 0..<reach, using: &generator)] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            }
            do {
                let (image, information) = try RGBImage.decode(damaged, orientation: .applyEXIF)
                let stored = information.storedSize
                let isSwapped = information.isOrientationApplied && information.exifOrientation?.swapsSides == true
                #expect(image.size == (isSwapped ? ImageSize(width: stored.height, height: stored.width) : stored))
                #expect((information.warningCount > 0) == (information.firstWarning != nil))
            } catch let error as ImageError {
                #expect(!"\(error)".isEmpty)
            }
        }
        #expect(ContinuousClock.now - start < .seconds(30))
    }

    @Test("damage inside a scan is passed over with a warning, an end marker in its middle is not")
    func jpegDamage() throws {
        let golden = try #require(
            GoldenImages.all.first { $0.file.hasSuffix(".jpg") && $0.bytes.hasRestartMarkers })
        let bytes = golden.bytes
        let marker = try #require(bytes.indices.first { $0 > 0 && bytes[$0 - 1] == 0xFF && bytes[$0] == 0xD0 })
        // The bytes before the first restart marker go; decoding takes up again behind it.
        let holed = Array(bytes[..<(marker - 13)] + bytes[(marker - 1)...])
        let (image, information) = try RGBImage.decode(holed)
        #expect(information.warningCount > 0 && image.size == golden.size)
        let whole = try RGBImage(decoding: bytes)
        #expect(image != whole)
        #expect(image.pixels.suffix(golden.size.width * 3) == whole.pixels.suffix(golden.size.width * 3))

        let ended = Array(bytes[..<(marker - 1)] + [0xFF, 0xD9])
        let error = #expect(throws: ImageError.self) { try RGBImage(decoding: ended) }
        guard case .truncated? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test("a JPEG of more scans than any encoder writes is refused")
    func manyScans() throws {
        let golden = try #require(
            try GoldenImages.all.first {
                let information = try RGBImage.information(of: $0.bytes)
                return information.format == .jpeg && information.isProgressive
            })
        let bytes = golden.bytes
        // The first scan of a progressive picture may be repeated: it sets what later ones refine.
        let start = try #require(bytes.indices.first { bytes[$0...].starts(with: [0xFF, 0xDA]) })
        let end = try #require(
            bytes.indices.first { $0 > start && bytes[$0] == 0xFF && ![0, 0xDA].contains(bytes[$0 + 1]) })
        func repeated(_ times: Int) -> [UInt8] {
            bytes[..<start] + (0..<times).flatMap { _ in bytes[start..<end] } + bytes[end...]
        }
        #expect(try RGBImage(decoding: repeated(20)) == RGBImage(decoding: bytes))
        let error = #expect(throws: ImageError.self) { try RGBImage(decoding: repeated(200)) }
        guard case .unsupportedVariant(_, .jpeg, let reason)? = error, reason.contains("scans") else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test(
        "a picture beyond the limits is refused by its header",
        arguments: [(60_000, 60_000), (70_000, 10), (10, 70_000)])
    func tooLarge(width: Int, height: Int) throws {
        let header = pngBytes(width: width, height: height, data: [])
        let start = ContinuousClock.now
        let error = #expect(throws: ImageError.self) { try RGBImage(decoding: header, named: "bomb.png") }
        #expect(error == .tooManyPixels(source: "bomb.png", size: ImageSize(width: width, height: height)))
        #expect("\(try #require(error))".contains("\(RGBImage.pixelLimit)"))
        #expect(ContinuousClock.now - start < .seconds(1))
    }

    @Test("a JPEG frame of 60000 x 60000 is refused by its header")
    func tooLargeJPEG() throws {
        let golden = try #require(GoldenImages.all.first { $0.file.hasSuffix(".jpg") })
        var bytes = golden.bytes
        let frame = try #require(
            bytes.indices.first { bytes[$0] == 0xFF && $0 + 8 < bytes.count && [0xC0, 0xC2].contains(bytes[$0 + 1]) })
        for (offset, side) in [(5, 60_000), (7, 60_000)] {
            bytes[frame + offset] = UInt8(side >> 8)
            bytes[frame + offset + 1] = UInt8(side & 255)
        }
        let error = #expect(throws: ImageError.self) { try RGBImage(decoding: bytes) }
        #expect(error == .tooManyPixels(source: "standard input", size: ImageSize(width: 60_000, height: 60_000)))
    }

    @Test("pixels that cannot all be in the file are refused before they are allocated")
    func tooShort() throws {
        let header = pngBytes(width: 13_000, height: 13_000, data: [UInt8](repeating: 0, count: 100))
        let error = #expect(throws: ImageError.self) { try RGBImage.information(of: header) }
        guard case .truncated(_, header.count, let reason)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason.contains("at least"))
        // A PNG as long as it should be, but by a chunk that holds no pixels.
        let padded = header.prefix(33) + pngChunk("zzZz", [UInt8](repeating: 1, count: 500_000)) + header.dropFirst(33)
        let other = #expect(throws: ImageError.self) { try RGBImage.information(of: Array(padded)) }
        #expect(other == .truncated(source: "standard input", byteCount: padded.count, reason: reason))
    }

    @Test("a JPEG that says it is coded arithmetically is decoded or refused, and not beyond the limit of pixels")
    func arithmetic() throws {
        let golden = try #require(
            try GoldenImages.all.first {
                try $0.file.hasSuffix(".jpg") && !RGBImage.information(of: $0.bytes).isProgressive
                    && !$0.bytes.hasRestartMarkers
            })
        var bytes = golden.bytes
        let frame = try #require(bytes.indices.first { bytes[$0...].starts(with: [0xFF, 0xC0]) })
        bytes[frame + 1] = 0xC9
        #expect(try RGBImage(decoding: bytes).size == golden.size)
        func sized(_ side: Int) -> [UInt8] {
            var bytes = bytes
            for offset in [5, 7] {
                (bytes[frame + offset], bytes[frame + offset + 1]) = (UInt8(side >> 8), UInt8(side & 255))
            }
            return bytes
        }
        #expect(
            throws: ImageError.tooManyPixels(source: "a", size: ImageSize(width: 60_000, height: 60_000))
        ) { try RGBImage(decoding: sized(60_000), named: "a") }
        // Few bits may stand for any number of blocks, so nothing is wrong with this one.
        #expect(try RGBImage.information(of: sized(2000)).storedSize == ImageSize(width: 2000, height: 2000))
    }

    @Test(
        "another format is named and what to do is said",
        arguments: [
            (Array("RIFF\u{1}\u{1}\u{1}\u{1}WEBPVP8 ".utf8), ImageFormat.webP), (Array("GIF89a......".utf8), .gif),
            ([0x42, 0x4D, 1, 1, 1, 1, 0, 0, 0, 0, 54], .bmp), ([0x49, 0x49, 42, 0, 8, 0, 0, 0], .tiff),
            ([0x4D, 0x4D, 0, 42, 0, 0, 0, 8], .tiff), ([0, 0, 0, 24] + Array("ftypheic".utf8), .heic),
            ([0, 0, 0, 24] + Array("ftypavif".utf8), .avif), (Array("<svg xmlns=''/>".utf8), .svg),
            (Array("\u{FEFF}\n<?xml version='1.0'?><svg/>".utf8), .svg),
            (Array("<?xml version='1.0'?><a/>".utf8), .xml),
            (Array("<!DOCTYPE html><html>".utf8), .html), (Array("%PDF-1.7".utf8), .pdf),
            (Array("version https://git-lfs.github.com/spec/v1\n".utf8), .lfsPointer), (Array("hello".utf8), .unknown),
            ([0], .unknown), ([0xFF], .unknown), ([0x89, 0x50], .unknown),
        ] as [([UInt8], ImageFormat)])
    func otherFormats(bytes: [UInt8], format: ImageFormat) throws {
        let error = #expect(throws: ImageError.self) { try RGBImage(decoding: bytes, named: "picture.png") }
        #expect(error == .unsupportedFormat(source: "picture.png", found: format))
        let text = "\(try #require(error))"
        #expect(text.contains(format.rawValue) && text.contains("picture.png"))
    }

    @Test("the first bytes decide, not the name")
    func wrongExtension() throws {
        let directory = try Fixtures.temporaryDirectory()
        for golden in GoldenImages.all {
            let path = directory.appending(path: golden.file + (golden.file.hasSuffix("png") ? ".jpg" : ".png")).path
            try Data(golden.bytes).write(to: URL(filePath: path))
            let (image, information) = try RGBImage.decode(contentsOf: path)
            #expect(try image == RGBImage(contentsOf: golden.path))
            #expect(information.format == (golden.file.hasSuffix("png") ? .png : .jpeg))
        }
    }

    @Test("an empty file, no file and a directory are errors that name them")
    func unreadable() throws {
        #expect(throws: ImageError.empty(source: "standard input")) { try RGBImage(decoding: []) }
        let directory = try Fixtures.temporaryDirectory()
        for path in [directory.path, directory.appending(path: "none.png").path] {
            let error = #expect(throws: ImageError.self) { try RGBImage(contentsOf: path) }
            #expect("\(try #require(error))".contains(path))
        }
    }

    @Test("a picture of one column is cropped and tiled, but not padded to a huge square")
    func extremeShape() throws {
        let size = ImageSize(width: 1, height: 60_000)
        let column = RGBImage(
            width: 1, height: size.height, pixels: (0..<size.height * 3).map { UInt8(truncatingIfNeeded: $0) })
        let processor = CLIPImageProcessor(side: 336)
        #expect(processor.resizedSize(of: size) == ImageSize(width: 336, height: 336 * 60_000))
        #expect(try ImageProcessing.square(column, with: processor).pixelValues.shape == [1, 3, 336, 336])
        let tiles = ImageProcessing.anyResolution(pinpoints: [ImageSize(width: 336, height: 672)])
        #expect(try tiles(column, with: processor).pixelValues.shape == [3, 3, 336, 336])
        #expect(
            throws: ImageError.intermediateTooLarge(
                step: "padding to a square", original: size, size: ImageSize(width: 60_000, height: 60_000))
        ) { try ImageProcessing.pad(column, with: processor) }
        var uncropped = processor
        uncropped.doCenterCrop = false
        #expect(throws: ImageError.self) { try uncropped.pixelValues(of: column) }
    }
}
