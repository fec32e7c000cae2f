import Tensors
import TestSupport
import Testing

@testable import VisionEncoder

@Suite("Pictures against the recorded reference", .tags(.golden))
struct ImagesGoldenTests {
    @Test("the golden set is there and SHA-256 is right")
    func goldenSet() {
        #expect(!GoldenImages.all.isEmpty && !GoldenImages.tensors.isEmpty && GoldenImages.smallSide > 0)
        #expect(sha256(Array("abc".utf8)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    @Test("decoded pixels equal Pillow's", arguments: GoldenImages.all)
    func decoding(golden: GoldenImage) throws {
        let image = try RGBImage(contentsOf: golden.path)
        #expect(image.size == golden.size)
        let stride = try #require(golden.record.at("rgb_stride")?.integer)
        let stored = try #require(golden.tensor(golden.differsOnPurpose ? "rgb_scaled" : "rgb"))
        #expect(image.channelsLast(every: stride) == stored.bytes)
        if !golden.differsOnPurpose {
            #expect(sha256(image.pixels) == golden.record.at("rgb_sha256")?.text)
        }
    }

    /// `square`, `pad`, `square336_u8_s3`...: mode, side (none: the small one), bytes or floats, every how manieth.
    nonisolated(unsafe) static let result =
        /(?<mode>square|pad)(?<side>\d+)?(?<bytes>_u8)?(_s(?<step>\d+))?/

    @Test("resized, cropped and normalised pictures equal the reference to the bit", arguments: GoldenImages.all)
    func processing(golden: GoldenImage) throws {
        let image = try golden.official()
        var compared = 0
        for (name, stored) in GoldenImages.tensors where name.hasPrefix(golden.key + ".") {
            guard let match = try Self.result.wholeMatch(in: name.dropFirst(golden.key.count + 1)) else { continue }
            let side = match.side.flatMap { Int($0) } ?? GoldenImages.smallSide
            let step = match.step.flatMap { Int($0) } ?? 1
            let processor = CLIPImageProcessor(side: side)
            let input = match.mode == "pad" ? try image.paddedToSquare(processor.padColor) : image
            let cropped = try processor.cropped(input)
            if match.bytes != nil {
                #expect(cropped.channelsFirst(every: step) == stored.bytes, "\(name)")
            } else {
                let mode: ImageProcessing = match.mode == "pad" ? .pad : .square
                let values = try mode(image, with: processor).pixelValues
                #expect(values.shape == [1, 3, side, side])
                let kept = Self.every(step, of: values.floats, side: side)
                #expect(kept.map(\.bitPattern) == stored.floats.map(\.bitPattern), "\(name)")
            }
            compared += 1
        }
        #expect(compared >= 2)
    }

    @Test("digests of full-size results equal the reference", arguments: GoldenImages.all)
    func digests(golden: GoldenImage) throws {
        let image = try golden.official()
        guard case .object(let fields) = golden.record else { return }
        var compared = 0
        for (name, value) in fields {
            guard let match = try /(\d+)_(square|pad)/.wholeMatch(in: name), let side = Int(match.1) else { continue }
            #expect(value.at("u8_layout")?.text == "CHW")
            let processor = CLIPImageProcessor(side: side)
            let input = match.2 == "pad" ? try image.paddedToSquare(processor.padColor) : image
            #expect(sha256(try processor.cropped(input).channelsFirst()) == value.at("u8_sha256")?.text, "\(name)")
            compared += 1
        }
        #expect(compared == 2)
    }

    @Test("the size before the crop is the recorded one", arguments: GoldenImages.all)
    func resizedSize(golden: GoldenImage) throws {
        let processor = CLIPImageProcessor(side: GoldenImages.smallSide)
        #expect(processor.resizedSize(of: golden.size) == golden.record.at("resized_size")?.size)
    }

    /// Every `step`th row and column of [3, side, side].
    static func every(_ step: Int, of values: [Float], side: Int) -> [Float] {
        (0..<3).flatMap { channel in
            stride(from: 0, to: side, by: step).flatMap { y in
                stride(from: 0, to: side, by: step).map { values[(channel * side + y) * side + $0] }
            }
        }
    }
}
