import Tensors
import Testing

@testable import VisionEncoder

@Suite("Tiles for any resolution")
struct ImagesAnyResolutionTests {
    @Test("a map larger than the limit shrinks, one hardly larger stays")
    func patchLimit() throws {
        // 2000 x 1999 fills 3 x 3 tiles of 24 patches: 72 x 72 features.
        let sides = [1, 2, 3]
        let pinpoints = sides.flatMap { w in sides.map { ImageSize(width: 336 * w, height: 336 * $0) } }
        let choice = try AnyResolution(pinpoints: pinpoints, tileSide: 336)
        let size = ImageSize(width: 2000, height: 1999)
        func kept(_ limit: Int?) -> [Int] {
            let map = choice.keptMapSize(for: size, patchesPerSide: 24, maxNumPatches: limit)
            return [map.height, map.width]
        }
        #expect(kept(nil) == [72, 72])
        #expect(kept(9) == [72, 72])
        // sqrt(9 / 4) = 1.5 exactly; sqrt(9 / 8) = 1.0607, 72 // 1.0607 = 67.
        #expect(kept(4) == [48, 48])
        #expect(kept(8) == [67, 67])
        #expect(choice.imageTokenCount(for: size, patchesPerSide: 24, maxNumPatches: 4) == 576 + 48 * 49)
    }

    @Test("a map is never cut to more than it has", .tags(.property))
    func unpaddedRegions() {
        for height in [1, 7, 24, 48] {
            for width in [1, 9, 24, 72] {
                for (w, h) in [(1, 1), (1, 60_000), (60_000, 1), (640, 427), (3, 1000)] {
                    let region = AnyResolution.unpaddedRegion(
                        featureHeight: height, featureWidth: width, originalWidth: w, originalHeight: h)
                    #expect(region.rows.lowerBound >= 0 && region.rows.upperBound <= height)
                    #expect(region.columns.lowerBound >= 0 && region.columns.upperBound <= width)
                    #expect(region.rows.count == height || region.columns.count == width)
                }
            }
        }
    }

    @Test(
        "pinpoints are read from lists and from strings",
        arguments: [
            #"[[336, 672], [672, 336]]"#, #""[[336, 672], [672, 336]]""#, #""[(336, 672), (672, 336),]""#,
        ])
    func pinpoints(json: String) throws {
        let config = #"{"image_aspect_ratio": "anyres", "image_grid_pinpoints": "# + json + "}"
        let expected = [ImageSize(width: 336, height: 672), ImageSize(width: 672, height: 336)]
        #expect(try ImageProcessing(configuration: Array(config.utf8)) == .anyResolution(pinpoints: expected))
    }

    @Test(
        "pinpoints that make no sense are refused by name",
        arguments: [
            "[]", "[[336]]", "[[336, -1]]", "[[336, 1.5]]", #""(1x1),...,(6x6)""#, #""[""#, "null", "7",
            "[[336, 672], 5]",
        ])
    func badPinpoints(json: String) throws {
        let config = #"{"image_aspect_ratio": "anyres", "image_grid_pinpoints": "# + json + "}"
        let error = #expect(throws: ImageError.self) { try ImageProcessing(configuration: Array(config.utf8)) }
        #expect("\(try #require(error))".contains("image_grid_pinpoints"))
    }

    @Test("pinpoints that are not whole tiles are refused")
    func partialTiles() {
        #expect(throws: ImageError.self) {
            try AnyResolution(pinpoints: [ImageSize(width: 336, height: 500)], tileSide: 336)
        }
    }
}
