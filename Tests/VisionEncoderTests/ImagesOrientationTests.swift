import Bytes
import TestSupport
import Testing

@testable import VisionEncoder

@Suite("EXIF orientation")
struct ImagesOrientationTests {
    /// Where the pixel that is seen at (row, column) is stored, from the definition of the tag: which corner of the
    /// scene the first row and the first column stand for.
    static func stored(_ orientation: Int, _ r: Int, _ c: Int, _ size: ImageSize) -> (row: Int, column: Int) {
        let (lastRow, lastColumn) = (size.height - 1, size.width - 1)
        return switch orientation {
        case 1: (r, c)
        case 2: (r, lastColumn - c)
        case 3: (lastRow - r, lastColumn - c)
        case 4: (lastRow - r, c)
        case 5: (c, r)
        case 6: (lastRow - c, r)
        case 7: (lastRow - c, lastColumn - r)
        default: (c, lastColumn - r)
        }
    }

    static let files = GoldenImages.all.filter { $0.size.area > 100 && $0.size.area < 3000 }

    @Test(
        "all eight orientations are found in JPEG and PNG, in both byte orders, and turn the picture upright",
        arguments: 1...8)
    func allOrientations(orientation: Int) throws {
        for golden in Self.files {
            let bytes = golden.bytes
            let asStored = try RGBImage(decoding: bytes)
            for isLittleEndian in [false, true] {
                let exif = exifBytes(orientation: orientation, isLittleEndian: isLittleEndian)
                let variants =
                    golden.file.hasSuffix("png")
                    ? [bytes.insertingPNGExif(exif, atEnd: false), bytes.insertingPNGExif(exif, atEnd: true)]
                    : [bytes.insertingJPEGExif(exif)]
                for variant in variants {
                    let (plain, information) = try RGBImage.decode(variant)
                    #expect(information.exifOrientation?.rawValue == orientation && !information.isOrientationApplied)
                    #expect(plain == asStored)
                    let (upright, applied) = try RGBImage.decode(variant, orientation: .applyEXIF)
                    #expect(applied.isOrientationApplied && applied.storedSize == asStored.size)
                    #expect(Self.isUpright(upright, of: asStored, orientation))
                }
            }
        }
    }

    private static func isUpright(_ upright: RGBImage, of image: RGBImage, _ orientation: Int) -> Bool {
        let isTurned = orientation >= 5
        guard upright.width == (isTurned ? image.height : image.width), upright.size.area == image.size.area
        else { return false }
        return (0..<upright.height).allSatisfy { r in
            (0..<upright.width).allSatisfy { c in
                let from = stored(orientation, r, c, image.size)
                let (there, here) = ((from.row * image.width + from.column) * 3, (r * upright.width + c) * 3)
                return image.pixels[there..<there + 3] == upright.pixels[here..<here + 3]
            }
        }
    }

    @Test("a picture with its orientation recorded by the reference's maker is found")
    func goldenOrientation() throws {
        let tagged = try GoldenImages.all.filter {
            try RGBImage.information(of: $0.bytes).exifOrientation.map { $0 != .upright } ?? false
        }
        #expect(tagged.count == GoldenImages.all.count { $0.file.contains("exif") })
    }

    @Test("values outside 1...8, other types and counts are not orientations", arguments: [0, 9, 255, 65_535])
    func badValues(value: Int) throws {
        func reader(_ bytes: [UInt8]) throws -> EXIFOrientation.Reader {
            try EXIFOrientation.Reader(bytes, file: "a", part: "EXIF")
        }
        let exif = exifBytes(orientation: value, isLittleEndian: true)
        #expect(try EXIFOrientation.orientationTag(inTIFF: reader(exif)) == value)
        #expect(EXIFOrientation(rawValue: value) == nil)
        for position in [24, 26] {  // the entry's type, then its count
            var changed = exif
            changed[position] = 7
            #expect(try EXIFOrientation.orientationTag(inTIFF: reader(changed)) == nil)
        }
    }

    @Test("damaged EXIF data never makes a picture unreadable", .tags(.property))
    func garbage() throws {
        let golden = try #require(Self.files.first { $0.file.hasSuffix("jpg") })
        let bytes = golden.bytes
        let asStored = try RGBImage(decoding: bytes)
        var generator = SeededGenerator(seed: 6)
        for round in 0..<500 {
            var exif = exifBytes(orientation: 6, isLittleEndian: round % 2 == 0)
            exif.removeLast(Int.random(in: 0..<exif.count, using: &generator) * (round % 3 / 2))
            for _ in 0..<Int.random(in: 0...6, using: &generator) where !exif.isEmpty {
                exif[Int.random(in: 0..<exif.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            let (image, information) = try RGBImage.decode(bytes.insertingJPEGExif(exif), orientation: .applyEXIF)
            #expect(image == information.exifOrientation.map(asStored.turned) ?? asStored)
        }
    }
}
