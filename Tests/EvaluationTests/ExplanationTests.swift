import Foundation
import LLaVAPipeline
import LanguageDecoder
import NeuralNetwork
import PMoD
import Tensors
import TestSupport
import Testing
import Training
import VisionEncoder

@testable import Evaluation

@Suite("Explanations")
struct ExplanationTests {
    private let picture = ScenesDataset(split: .test, count: 1, seed: 5, questionsPerScene: 1, side: 128)
    /// A trained model: the answers of one with random weights hardly depend on the picture.
    private let trained = Fixtures.directory.appending(path: "demo-model").path

    private func explanation(
        of path: String = TinyModel.path, question: String = "what is there?", budget: Int = 9,
        answer: [Int] = [5, 9, 7],
        features: ((Tensor) -> Tensor)? = nil
    ) throws -> Explanation {
        let assistant = try Assistant(LLaVAModel.load(from: path))
        let model = assistant.model
        let image = try model.process(picture[0].image.required())
        let encoded = try model.encode(image)
        let ids = try assistant.ids(of: assistant.conversation(asking: question, images: 1))
        return try Explanation(
            assistant, question: question, ids: ids, answer: answer,
            features: LLaVAModel.Features(tensor: features?(encoded.tensor) ?? encoded.tensor, image: image),
            budget: model.budget(budget), picture: picture[0].image.required())
    }

    @Test("relevance is the length of the gradient of a token's log-probability, by central differences")
    func gradient() throws {
        let explained = try explanation(of: trained)
        let patch = try #require(explained.relevance.indices.max { explained.relevance[$0] < explained.relevance[$1] })
        var width = 0
        var squares = [Double](repeating: 0, count: 3)
        let step: Float = 0.02
        func probabilities(_ channel: Int, _ change: Float) throws -> [Double] {
            try explanation(
                of: trained,
                features: { tensor in
                    width = tensor.shape[2]
                    var values = tensor.floats
                    values[patch * width + channel] += change
                    return Tensor(values, shape: tensor.shape)
                }
            ).tokens.map(\.logProbability)
        }
        var channel = 0
        repeat {
            for (token, (up, down)) in zip(try probabilities(channel, step), try probabilities(channel, -step))
                .enumerated()
            {
                squares[token] += pow((up - down) / Double(2 * step), 2)
            }
            channel += 1
        } while channel < width
        for (token, square) in zip(explained.tokens, squares) {
            let length = Double(token.relevance[patch])
            #expect(
                length > 0 && abs(length - square.squareRoot()) <= 0.03 * length, "\(length) \(square.squareRoot())")
        }
    }

    @Test("layers keep as many visual tokens as the configuration says, and of each patch no more than there is")
    func layers() throws {
        let explained = try explanation(budget: 16)
        let model = try LLaVAModel.load(from: TinyModel.path)
        let pmod = try #require(model.config.pmod)
        let ratios = pmod.retentionRatios(layerCount: model.config.llama.numHiddenLayers)
        let kept = pmod.keptTokens(of: 16, layerCount: ratios.count)
        let routed = ratios.indices.filter { ratios[$0] != nil }
        #expect(explained.layers.map(\.index) == routed && explained.layers.map(\.kept) == routed.map { kept[$0] })
        for layer in explained.layers {
            #expect(layer.share.allSatisfy { (-1e-5...1.00001).contains($0) })
            #expect(layer.kept == 0 || layer.share.contains { $0 > 0 })
        }
        #expect(explained.connection == .positions && explained.visualTokens == 16)
        #expect(try explanation(of: DenseModel.make().path).layers.isEmpty)
    }

    @Test("a patch is bright where its value is high, in the picture and beside the one without a map")
    func lighting() throws {
        let image = RGBImage(width: 4, height: 2, pixels: [UInt8](repeating: 200, count: 24))
        let lit = image.lit([1, 0], on: PatchGrid(height: 1, width: 2))
        #expect(lit.pixels.prefix(12) == [200, 200, 200, 200, 200, 200, 30, 30, 30, 30, 30, 30])
        #expect([Float]([2, 0, 1]).scaledToOne == [1, 0, 0.5] && [Float]([0, 0]).scaledToOne == [0, 0])

        let explained = try explanation()
        let drawn = ExplanationPicture(explained).image
        // Three tokens in one line, and the layers of the mixture of depths in others.
        let layerLines = (explained.layers.count + 3) / 4
        let captions = drawn.height - (12 + 348 + 174 * (1 + layerLines))
        #expect(drawn.width == 708 && captions >= 3 * 16 && captions % 16 == 0)
        // The first caption begins below the large pictures.
        let line = (12 + 348)..<(12 + 348 + 10)
        let black = line.map { y in (0..<708).filter { drawn.pixels[(y * 708 + $0) * 3] == 0 } }.joined()
        #expect(black.count > 500 && black.allSatisfy { (12..<696).contains($0) })
    }

    @Test("captions are broken between words, and every letter has a shape of its own")
    func captions() {
        #expect(PixelText.lines("aa bb cc", width: 40) == ["aa bb", "cc"])
        #expect(PixelText.lines("toolongforaline b", width: 20) == ["toolongforaline", "b"])
        #expect(PixelText.lines("", width: 20) == [])
        let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:;'-()/?!%\u{2603}".map { letter in
            PixelText.pixels(String(letter)).map { [$0.x, $0.y] }
        }
        #expect(Set(letters).count == letters.count)
        #expect(letters.joined().allSatisfy { (0..<10).contains($0[0]) && (0..<10).contains($0[1]) })
        #expect(PixelText.pixels("a").count == PixelText.pixels("A").count && PixelText.pixels(" ").isEmpty)
    }

    @Test("a page says what was asked and answered, and a question that looks like HTML stays text")
    func page() throws {
        let question = "is </script><b>this</b> \"safe\"?"
        let page = try ExplanationPage(explanation(question: question)).text
        #expect(page.contains("&lt;/script&gt;&lt;b&gt;this") && !page.contains("</script><b>"))
        #expect(page.components(separatedBy: "<canvas").count == 3 && page.contains("the same for every picture"))
        let dense = try ExplanationPage(explanation(of: DenseModel.make().path)).text
        #expect(dense.components(separatedBy: "<canvas").count == 2 && dense.contains("reads all visual tokens"))
    }
}
