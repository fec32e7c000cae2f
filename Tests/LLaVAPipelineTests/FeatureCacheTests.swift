import Foundation
import LLaVAPipeline
import ModelFiles
import Tensors
import TestSupport
import Testing
import VisionEncoder

@Suite("Feature cache")
struct FeatureCacheTests {
    private let directory: URL
    private let model: LLaVAModel

    init() throws {
        directory = try Fixtures.temporaryDirectory().appending(path: "cache")
        model = try LLaVAModel.load(from: TinyModel.path)
    }

    private func image(_ shade: UInt8) throws -> ProcessedImage {
        try model.process(RGBImage(width: 40, height: 30, pixels: [UInt8](repeating: shade, count: 3600)))
    }

    private var files: [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []).sorted()
    }

    @Test("a picture that comes again is not encoded again, and its features are the same bytes")
    func hit() throws {
        let cache = FeatureCache(directory: directory.path)
        let image = try image(90)
        let first = try cache.features(of: image, model)
        #expect(first.tensor.bytes == (try model.encode(image)).tensor.bytes && files.count == 1)
        // What the file holds is what comes back.
        let file = directory.appending(path: files[0]).path
        let mark = Tensor(repeating: 7, shape: first.tensor.shape)
        try SafetensorsWriter.write(["features": mark], to: file)
        #expect(try cache.features(of: image, model).tensor.bytes == mark.bytes)
        // Another picture, and other kernels, have features of their own.
        _ = try cache.features(of: self.image(91), model)
        #expect(files.count == 2)
    }

    @Test("a file that is damaged, of another shape or not of numbers is made anew")
    func damage() throws {
        let cache = FeatureCache(directory: directory.path)
        let image = try image(90)
        let right = try cache.features(of: image, model).tensor
        let file = directory.appending(path: files[0])
        let wrong = [Tensor(repeating: 1, shape: [1, 2]), Tensor(repeating: .nan, shape: right.shape)]
        for tensor in wrong {
            try SafetensorsWriter.write(["features": tensor], to: file.path)
            #expect(try cache.features(of: image, model).tensor.bytes == right.bytes)
        }
        try Data("nonsense".utf8).write(to: file)
        #expect(try cache.features(of: image, model).tensor.bytes == right.bytes)
        #expect(try SafetensorsFile(path: file.path).tensors["features"]?.bytes == right.bytes)
    }

    @Test("what was not used for the longest time makes room")
    func limit() throws {
        let size = try FeatureCache(directory: directory.path).features(of: image(1), model).tensor.bytes.count
        let cache = FeatureCache(directory: directory.path, limit: size * 2 + 1000)
        let first = files[0]
        _ = try cache.features(of: image(2), model)
        let second = try #require(files.first { $0 != first })
        // The first is used again later than the second was made.
        for (name, age) in [(first, 30.0), (second, 20)] {
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSinceNow: -age)],
                ofItemAtPath: directory.appending(path: name).path)
        }
        _ = try cache.features(of: image(1), model)
        _ = try cache.features(of: image(3), model)
        #expect(files.count == 2 && files.contains(first) && !files.contains(second))
    }

    @Test("a directory that cannot be made is an error that names it")
    func unwritable() throws {
        let cache = FeatureCache(directory: "/proc/nowhere")
        let error = try #require(throws: CheckpointError.self) { try cache.features(of: image(1), model) }
        #expect("\(error)".contains("/proc/nowhere"))
    }
}
