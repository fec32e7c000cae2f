import Foundation
import LLaVAPipeline
import TestSupport
import Testing
import VisionEncoder

@Suite struct DamagedImageTests {
    @Test(
        "damaged pictures are refused, or seen",
        arguments: [Pictures.png, Pictures.otherPNG, Pictures.jpeg, Pictures.turnedJPEG])
    func damaged(path: String) throws {
        let assistant = try Assistant(LLaVAModel.load(from: TinyModel.path))
        let original = try Data(contentsOf: URL(filePath: path))
        var generator = SeededGenerator(seed: 31)
        var trial = DamageTrial()
        for index in 0..<150 {
            var damaged = generator.damaged(original, head: min(original.count, 700))
            // Half of the PNGs get past the checksums of their chunks.
            if index.isMultiple(of: 2) { damaged = Pictures.repairingChecksums(ofPNG: damaged) }
            let bytes = Array(damaged)
            trial.attempt("\(path) \(index)") {
                try DamageTrial.ask(assistant, RGBImage(decoding: bytes, named: "a picture", orientation: .applyEXIF))
            }
        }
        trial.finish(URL(filePath: path).lastPathComponent, hasChecksums: path.hasSuffix(".png"))
    }

    @Test("headers of every extreme size are refused, or seen")
    func sizes() throws {
        let assistant = try Assistant(LLaVAModel.load(from: TinyModel.path))
        var trial = DamageTrial()
        let sides: [UInt32] = [0, 1, 2, 13_000, 60_000, 65_535, 65_536, 1 << 20, 1 << 31 - 1, 1 << 31, .max]
        for width in sides {
            for height in sides {
                trial.attempt("\(width) x \(height)") {
                    let bytes = Array(Pictures.pngHeader(width: width, height: height))
                    try DamageTrial.ask(assistant, RGBImage(decoding: bytes))
                }
            }
        }
        // Whole pictures of extreme shapes.
        for (width, height) in [(1, 1), (1, 3000), (3000, 1), (65_535, 1), (2, 65_535)] {
            trial.attempt("\(width) x \(height), whole") {
                try DamageTrial.ask(
                    assistant,
                    RGBImage(width: width, height: height, pixels: Array(repeating: 0, count: width * height * 3)))
            }
        }
        trial.finish("sizes")
    }
}
