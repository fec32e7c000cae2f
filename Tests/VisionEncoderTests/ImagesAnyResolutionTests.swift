import Tensors
import Testing

@testable import VisionEncoder

@Suite("Tiles for any resolution")
struct ImagesAnyResolutionTests {
    static let record = try? GoldenImages.object("anyres.json")

    @Test("grid, feature map, unpadded map and token count equal the recorded arithmetic", .tags(.golden))
    func arithmetic() throws {
        let record = try #require(Self.record)
        let cases = try #require(record.at("arithmetic")?.items)
        #expect(!cases.isEmpty)
        for expected in cases {
            let name = try #require(expected.at("pinpoints")?.text)
            let pinpoints = try #require(record.at("released_pinpoints_w_h", name)).items.compactMap(\.size)
            let side = try #require(pinpoints.map { min($0.width, $0.height) }.min())
            let choice = try AnyResolution(pinpoints: pinpoints, tileSide: side)
            let size = ImageSize(
                width: try #require(expected.at("w")?.integer), height: try #require(expected.at("h")?.integer))
            let patches = 24
            let map = choice.featureMapSize(for: size, patchesPerSide: patches)
            let kept = choice.keptMapSize(for: size, patchesPerSide: patches)
            #expect(choice.bestResolution(for: size) == expected.at("best")?.size, "\(size) \(name)")
            #expect(choice.grid(for: size) == expected.at("grid_w_h")?.size, "\(size) \(name)")
            #expect([map.height, map.width] == expected.at("feature_hw")?.items.map(\.integer), "\(size) \(name)")
            #expect([kept.height, kept.width] == expected.at("unpadded_hw")?.items.map(\.integer), "\(size) \(name)")
            #expect(
                choice.imageTokenCount(for: size, patchesPerSide: patches) == expected.at("image_tokens")?.integer,
                "\(size) \(name)")
        }
    }

    @Test("padded pictures and views equal the reference to the bit", .tags(.golden))
    func views() throws {
        let record = try #require(Self.record)
        let pinpoints = try #require(record.at("small_pinpoints_w_h")).items.compactMap(\.size)
        let processor = CLIPImageProcessor(side: GoldenImages.smallSide)
        let choice = try AnyResolution(pinpoints: pinpoints, tileSide: GoldenImages.smallSide)
        guard case .object(let expected) = try #require(record.at("small_images")) else { return }
        #expect(!expected.isEmpty)
        for (key, value) in expected {
            let golden = try #require(GoldenImages.all.first { $0.key == key })
            let image = try RGBImage(contentsOf: golden.path)
            #expect(image.size == value.at("size")?.size)
            #expect(choice.bestResolution(for: image.size) == value.at("best_resolution")?.size)
            #expect(sha256(choice.padded(image).pixels) == value.at("padded_sha256")?.text)

            let processed = try ImageProcessing.anyResolution(pinpoints: pinpoints)(image, with: processor)
            #expect(processed.grid == value.at("grid_w_h")?.size)
            #expect(processed.pixelValues.shape[0] == 1 + (value.at("tiles")?.integer ?? 0))
            let stored = try #require(golden.tensor("anyres"))
            #expect(processed.pixelValues.shape == stored.shape)
            #expect(processed.pixelValues.floats.map(\.bitPattern) == stored.floats.map(\.bitPattern))
        }
    }

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
