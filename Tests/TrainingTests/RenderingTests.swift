import Foundation
import Testing
import VisionEncoder

@testable import Training

@Suite struct RenderingTests {
    private static func scene(_ shape: SceneShape, radius: Int = 16, x: Int = 64, y: Int = 64) -> Scene {
        var random = SplitMix64(seed: 1)
        var ground = SceneGround(drawing: &random)
        ground.texture = .plain
        ground.first = [100, 100, 100]
        let object = SceneObject(
            shape: shape, color: .red, size: .large, x: x, y: y, radius: radius, tint: [0, 0, 0])
        return Scene(objects: [object], ground: ground)
    }

    @Test("the covered area of every shape is that of its geometry, at several sizes", arguments: SceneShape.allCases)
    func area(shape: SceneShape) throws {
        for side in [64, 128, 300] {
            for (x, y) in [(64, 64), (41, 77)] {
                let image = SceneRenderer(side: side).picture(of: Self.scene(shape, x: x, y: y)).image
                // Red goes from 100 to 214 with coverage.
                let covered = stride(from: 0, to: image.pixels.count, by: 3)
                    .map { Double(Int(image.pixels[$0]) - 100) / 114 }.reduce(0, +)
                let radius = 16 * Double(side) / 128
                let unit: Double =
                    switch shape {
                    case .circle: .pi
                    case .ring: .pi * (1 - 81.0 / 256)
                    case .square: 4 * (900.0 / 1024) * (900.0 / 1024)
                    case .triangle: 1894.0 / 1024
                    case .cross: 4 * (2 * 330.0 / 1024) - 4 * (330.0 / 1024) * (330.0 / 1024)
                    case .star: 5 * 0.45 * sin(Double.pi / 5)
                    }
                // Four lines a pixel: the area is off by less than a hundredth of the outline's length.
                let expected = unit * radius * radius
                #expect(
                    abs(covered - expected) < 0.02 * expected + 1, "\(shape) at \(side): \(covered) for \(expected)")
            }
        }
    }

    @Test("a pixel inside has the object's colour, one outside the ground's, and a ring shows the ground in its hole")
    func colours() {
        func pixel(_ image: RGBImage, _ x: Int, _ y: Int) -> [UInt8] {
            Array(image.pixels[((y * image.width + x) * 3)..<((y * image.width + x) * 3 + 3)])
        }
        for shape in SceneShape.allCases {
            let image = SceneRenderer().picture(of: Self.scene(shape)).image
            #expect(pixel(image, 64, 64) == (shape == .ring ? [100, 100, 100] : [214, 36, 40]))
            #expect(pixel(image, 64, 82) == [100, 100, 100] && pixel(image, 10, 10) == [100, 100, 100])
        }
    }

    @Test("dense labels name the object where it is, and the ground where it is not")
    func labels() throws {
        let dataset = ScenesDataset(split: .train, count: 200, seed: 9, labelGrid: 16)
        for index in 0..<dataset.count {
            let objects = dataset.scene(at: index).scene.objects
            let labels = try #require(dataset.example(at: index).labels)
            let (shapes, colors) = (labels.fields[0], labels.fields[1])
            for object in objects where object.shape != .ring {
                let cell = object.y / 8 * 16 + object.x / 8
                #expect(shapes.classes[Int(shapes.values[cell])] == object.shape.name)
                #expect(colors.classes[Int(colors.values[cell])] == object.color.name)
            }
            for cell in 0..<256 {
                let (left, top) = (cell % 16 * 8, cell / 16 * 8)
                let isFar = objects.allSatisfy { object in
                    left > object.x + object.radius || left + 8 < object.x - object.radius
                        || top > object.y + object.radius || top + 8 < object.y - object.radius
                }
                if isFar { #expect(shapes.values[cell] == 0 && colors.values[cell] == 0) }
            }
        }
    }

    @Test("the bytes of pictures and questions are the same on every machine and in every process")
    func checksums() throws {
        let known: [(DataSplit, Int, String)] = [
            (.train, 128, "f0fd4121e244fa892d1bb9e0746cad51a3b6929eb0f8af87932ed1613a32f3e1"),
            (.validation, 128, "a50406e906a05401568534d4b2a3550307dc909a82b80a03502fc8625e74f801"),
            (.test, 96, "289069daba3f40a8cd206c20dae9ed03e31329e16f09b99c17ccbe23528df238"),
            (.heldOut, 128, "7f5621e56c6104aa9ff5ae18bb5b41985729323c015d3a2b93850eb75006f16f"),
        ]
        for (split, side, checksum) in known {
            let dataset = ScenesDataset(split: split, count: 100, seed: 1, side: side)
            #expect(try DatasetChecksum.of(dataset) == checksum, "\(split)")
        }
        #expect(
            try DatasetChecksum.of(ScenesDataset(split: .test, count: 100, seed: 2))
                != DatasetChecksum.of(ScenesDataset(split: .test, count: 100, seed: 1)))
    }

    @Test("SplitMix64 gives the values of its published form")
    func generator() {
        // java.util.SplittableRandom and the reference C code, seed 1234567.
        var random = SplitMix64(seed: 1_234_567)
        #expect(
            (0..<3).map { _ in random.next() } == [
                6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
            ])
        var counts = [Int](repeating: 0, count: 7)
        for _ in 0..<7000 { counts[random.below(7)] += 1 }
        #expect(counts.allSatisfy { $0 > 850 && $0 < 1150 })
    }
}
