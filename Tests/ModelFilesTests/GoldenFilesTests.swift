import Bytes
import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

/// A file of tensors in the golden set, and what its manifest says about it.
struct GoldenFile: Sendable, CustomTestStringConvertible {
    struct Description: Sendable, Equatable {
        var shape: [Int]
        var elementType: String
    }

    var url: URL
    var kind: String
    /// Nil where the manifest does not list them.
    var tensors: [String: Description]?

    var testDescription: String { url.pathComponents.suffix(3).joined(separator: "/") }

    /// Every such file of every stage.
    static let all: [GoldenFile] = {
        guard let index = try? JSONValue(contentsOf: Fixtures.golden.appending(path: "index.json").path) else {
            return []
        }
        return (index["stages"]?.array ?? []).compactMap { $0["stage"]?.string }.flatMap { stage -> [GoldenFile] in
            let directory = Fixtures.golden.appending(path: stage)
            let manifest = try? JSONValue(contentsOf: directory.appending(path: "manifest.json").path)
            return (manifest?["files"]?.object ?? [:]).sorted { $0.key < $1.key }.compactMap {
                name, value -> GoldenFile? in
                guard name.hasSuffix(".safetensors") || name.hasSuffix(".bin") else { return nil }
                return GoldenFile(
                    url: directory.appending(path: name), kind: value["kind"]?.string ?? "",
                    tensors: value["tensors"]?.object?.mapValues { tensor in
                        Description(
                            shape: (tensor["shape"]?.array ?? []).compactMap(\.int),
                            elementType: tensor["dtype"]?.string ?? "")
                    })
            }
        }
    }()
}

@Suite("Golden files")
struct GoldenFilesTests {
    @Test("the golden set has weights in both formats")
    func coverage() {
        let weights = GoldenFile.all.filter { $0.kind == "weights" }
        #expect(weights.count { $0.url.pathExtension == "safetensors" } >= 8)
        #expect(weights.count { $0.url.pathExtension == "bin" } >= 4)
        #expect(GoldenFile.all.filter { $0.tensors != nil }.count >= 20)
    }

    @Test(
        "every tensor of a file has the shape and type that the manifest lists, and no other is there",
        arguments: GoldenFile.all)
    func manifest(file: GoldenFile) throws {
        let tensors = try TensorFile.load(path: file.url.path)
        #expect(!tensors.isEmpty)
        if let expected = file.tensors {
            let found = tensors.mapValues {
                GoldenFile.Description(shape: $0.shape, elementType: $0.elementType.rawValue)
            }
            #expect(found == expected)
        }
    }

    @Test(
        "every tensor of a safetensors file is used in place",
        arguments: GoldenFile.all.filter { $0.url.pathExtension == "safetensors" })
    func inPlace(file: GoldenFile) throws {
        for (name, tensor) in try SafetensorsFile(path: file.url.path).tensors where tensor.count > 0 {
            #expect(tensor.isMapped, "\(name)")
        }
    }

    @Test("a checkpoint saved as .bin equals the same saved as safetensors bit for bit")
    func formatsAgree() throws {
        let safetensors = try CheckpointDirectory(path: golden("llava/checkpoint_safetensors"))
        let archive = try CheckpointDirectory(path: golden("llava/checkpoint_bin"))
        #expect(safetensors.tensors.count == 89)
        #expect(safetensors.tensors.keys.sorted() == archive.tensors.keys.sorted())
        for (name, tensor) in safetensors.tensors {
            let other = try #require(archive.tensors[name])
            #expect(other.shape == tensor.shape && other.elementType == tensor.elementType, "\(name)")
            #expect(bytes(of: other) == bytes(of: tensor), "\(name)")
            #expect(other.isMapped, "\(name)")
        }
        #expect(safetensors.layout == archive.layout)
        #expect(safetensors.config == archive.config)
    }

    @Test("the adapter file holds the checkpoint's query transformer rounded to bfloat16")
    func adapter() throws {
        let checkpoint = try CheckpointDirectory(path: golden("llava/checkpoint_safetensors")).tensors
        let adapter = try TensorFile.load(path: golden("llava/query_abstractor.bin"))
        #expect(adapter.keys.sorted() == checkpoint.keys.filter { $0.contains("query_abstractor.") }.sorted())
        for (name, tensor) in adapter {
            let full = try #require(checkpoint[name])
            #expect(tensor.elementType == .bfloat16 && tensor.shape == full.shape)
            #expect(tensor.floats == full.floats.map(roundedToBFloat16), "\(name)")
        }
    }

    @Test("the full CLIP model holds the vision model's tensors and the buffers that old files carry")
    func fullCLIP() throws {
        let full = try CheckpointDirectory(path: golden("clip_vit/full_clip"))
        let vision = try CheckpointDirectory(path: golden("clip_vit/vision_model"))
        for (name, tensor) in vision.tensors {
            #expect(full.tensors[name].map(bytes) == bytes(of: tensor), "\(name)")
        }
        let positions = try #require(full.tensors["vision_model.embeddings.position_ids"])
        #expect(positions.elementType == .int64)
        #expect(positions.integers == Array(0..<positions.count))
    }

    @Test("strided, shared, empty, 0-d and typed tensors have the recorded values")
    func oddTensors() throws {
        let tensors = try PyTorchArchive(path: golden("llava/torch_zip_odd.bin")).tensors
        let expected = try #require(JSONValue(contentsOf: golden("llava/torch_zip_odd.json")).object)
        #expect(tensors.keys.sorted() == expected.keys.sorted())
        let types: [String: ElementType] = [
            "torch.float64": .float64, "torch.float32": .float32, "torch.float16": .float16,
            "torch.bfloat16": .bfloat16, "torch.int64": .int64, "torch.uint8": .uint8, "torch.bool": .bool,
        ]
        for (name, value) in expected {
            let tensor = try #require(tensors[name])
            #expect(tensor.shape == value["shape"]?.array?.compactMap(\.int), "\(name)")
            #expect(tensor.elementType == value["dtype"]?.string.flatMap { types[$0] }, "\(name)")
            let values = try #require(value["values"]?.array)
            if tensor.elementType.isFloatingPoint {
                #expect(tensor.floats == values.compactMap(\.double).map { Float($0) }, "\(name)")
            } else {
                let integers = values.compactMap { $0.bool.map { $0 ? 1 : 0 } ?? $0.int }
                #expect(tensor.integers == integers, "\(name)")
            }
        }
        #expect(tensors["transposed"]?.isMapped == false)
        #expect(tensors["shared_a"]?.isMapped == true && tensors["shared_b"]?.isMapped == true)
    }
}

private func golden(_ path: String) -> String { Fixtures.golden.appending(path: path).path }

func bytes(of tensor: Tensor) -> [UInt8] { tensor.withBytes { Array($0) } }

/// To the nearest, ties to even, as PyTorch rounds.
private func roundedToBFloat16(_ value: Float) -> Float {
    let bits = value.bitPattern
    let rounded = (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000
    return Float(bitPattern: rounded)
}
