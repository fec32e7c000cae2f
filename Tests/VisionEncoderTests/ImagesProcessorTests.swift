import TestSupport
import Tensors
import Testing

@testable import VisionEncoder

@Suite("Preparing pictures")
struct ImagesProcessorTests {
    static func random(_ width: Int, _ height: Int, _ generator: inout SeededGenerator) -> RGBImage {
        RGBImage(
            width: width, height: height,
            pixels: (0..<width * height * 3).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    @Test("resizing to the same size changes nothing", .tags(.property))
    func identity() {
        var generator = SeededGenerator(seed: 1)
        for (width, height) in [(1, 1), (7, 3), (64, 65)] {
            let image = Self.random(width, height, &generator)
            #expect(image.resized(to: image.size) == image)
        }
    }

    @Test(
        "a picture of one colour keeps it at every size", .tags(.property), arguments: [0, 1, 127, 254, 255] as [UInt8])
    func constant(value: UInt8) {
        var generator = SeededGenerator(seed: UInt64(value))
        for round in 0..<40 {
            let side = round == 0 ? 5000 : 90
            let (width, height) = (
                Int.random(in: 1...side, using: &generator), Int.random(in: 1...90, using: &generator)
            )
            let image = RGBImage(
                width: width, height: height, pixels: .init(repeating: value, count: width * height * 3))
            let size = ImageSize(
                width: .random(in: 1...90, using: &generator), height: .random(in: 1...90, using: &generator))
            #expect(image.resized(to: size).pixels.allSatisfy { $0 == value }, "\(image.size) to \(size)")
        }
    }

    @Test("a part of a resized picture is computed as in the whole", .tags(.property))
    func regions() {
        var generator = SeededGenerator(seed: 2)
        func part(_ extent: Int) -> Range<Int> {
            let first = Int.random(in: 0..<extent, using: &generator)
            return first..<Int.random(in: first + 1...extent, using: &generator)
        }
        for round in 0..<100 {
            let image = Self.random(
                .random(in: 1...70, using: &generator), .random(in: 1...70, using: &generator), &generator)
            let size = ImageSize(
                width: round % 4 == 0 ? image.width : .random(in: 1...90, using: &generator),
                height: round % 5 == 0 ? image.height : .random(in: 1...90, using: &generator))
            let region = ImageRegion(rows: part(size.height), columns: part(size.width))
            #expect(image.resized(to: size, keeping: region) == image.resized(to: size).cropped(to: region))
        }
    }

    @Test("the number of threads does not change a byte")
    func threads() {
        var generator = SeededGenerator(seed: 3)
        let image = Self.random(301, 203, &generator)
        let size = ImageSize(width: 97, height: 310)
        let results = [1, 2, 5].map { threads in
            ComputeContext(threads: threads).run { image.resized(to: size).turned(.transverse) }
        }
        #expect(results[0] == results[1] && results[1] == results[2])
    }

    /// top = (extent - crop) // 2; with padding ceil((crop - extent) / 2).
    @Test(
        "a crop takes the middle, or puts the picture in the middle of zeros",
        arguments: [
            (49, 48, 0..<48, 0), (50, 48, 1..<49, 0), (51, 48, 1..<49, 0), (48, 48, 0..<48, 0), (47, 48, 0..<47, 1),
            (45, 48, 0..<45, 2), (30, 48, 0..<30, 9), (1, 4, 0..<1, 2),
        ])
    func centerCrop(extent: Int, crop: Int, kept: Range<Int>, offset: Int) throws {
        let found = CenterCrop(
            ImageSize(width: crop, height: crop), of: ImageSize(width: extent, height: extent))
        #expect(found.region == ImageRegion(rows: kept, columns: kept) && found.x == offset && found.y == offset)
    }

    @Test("a picture smaller than the crop is black around, normalised like any black")
    func smallPicture() throws {
        var processor = CLIPImageProcessor(side: 8)
        processor.doResize = false
        let white = RGBImage(width: 3, height: 2, pixels: .init(repeating: 255, count: 18))
        let cropped = try processor.cropped(white)
        #expect(cropped.size == ImageSize(width: 8, height: 8))
        let lit = (0..<64).filter { cropped.pixels[$0 * 3] == 255 }
        #expect(lit == [27, 28, 29, 35, 36, 37])  // rows 3, 4 and columns 3, 4, 5
        let values = try processor.pixelValues(of: white)
        #expect(values.shape == [3, 8, 8])
        #expect(values.floats[0] == (0 - Float(0.481_454_66)) / Float(0.268_629_54))
    }

    @Test("padding centres the picture on the mean colour, the odd pixel right or below")
    func padding() throws {
        let color = CLIPImageProcessor().padColor
        #expect(color == RGBColor(red: 122, green: 116, blue: 104))
        let dot = RGBImage(width: 4, height: 1, pixels: .init(repeating: 9, count: 12))
        let padded = try dot.paddedToSquare(color)
        let rows = (0..<4).map { padded.pixels[$0 * 12] }
        #expect(padded.size == ImageSize(width: 4, height: 4) && rows == [122, 9, 122, 122])
        let square = RGBImage(width: 2, height: 2, pixels: .init(repeating: 1, count: 12))
        #expect(try square.paddedToSquare(color) == square)
    }

    @Test("every step can be left out")
    func steps() throws {
        var processor = CLIPImageProcessor(side: 2)
        let image = RGBImage(width: 2, height: 2, pixels: (0..<12).map { UInt8($0 * 20) })
        processor.doNormalize = false
        #expect(try processor.pixelValues(of: image).floats[1] == Float(60.0 * (1 / 255.0)))
        processor.doRescale = false
        #expect(try processor.pixelValues(of: image).floats == image.channelsFirst().map { Float($0) })
        processor.doResize = false
        processor.doCenterCrop = false
        let wide = RGBImage(width: 5, height: 1, pixels: .init(repeating: 3, count: 15))
        #expect(try processor.pixelValues(of: wide).shape == [3, 1, 5])
    }
}
