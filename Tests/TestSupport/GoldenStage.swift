public import Bytes
public import Foundation
import ModelFiles
public import Tensors

/// One stage of a golden set: what its manifest says, and its files.
public struct GoldenStage: Sendable {
    /// Name of the stage, which is the name of its directory.
    public let name: String
    /// Where it lies.
    public let directory: URL
    /// The whole manifest.
    public let manifest: JSONValue

    /// The stage of the current golden set with the given name.
    public init(_ name: String) throws {
        self.name = name
        directory = Fixtures.golden.appending(path: name)
        manifest = try JSONValue(contentsOf: directory.appending(path: "manifest.json").path)
    }

    /// Paths of the manifest's files of a kind, sorted.
    public func files(ofKind kind: String) -> [String] {
        (manifest["files"]?.object ?? [:]).filter { $0.value["kind"]?.string == kind }.keys.sorted()
    }

    /// Directories, relative to the stage, that hold a config.json and weights.
    public var modelDirectories: [String] {
        files(ofKind: "weights").filter { $0.contains("/") }.map { ($0 as NSString).deletingLastPathComponent }
            .reduce(into: Set<String>()) { $0.insert($1) }
            .filter { FileManager.default.fileExists(atPath: path($0 + "/config.json")) }.sorted()
    }

    /// The model a data file belongs to: the one beside it, or the only one of the stage's top level.
    public func modelDirectory(for file: String) -> String? {
        let own = (file as NSString).deletingLastPathComponent
        if modelDirectories.contains(own) { return own }
        return modelDirectories.first { !$0.contains("/") }
    }

    /// Full path of a file of the stage.
    public func path(_ file: String) -> String { directory.appending(path: file).path }

    /// A JSON file of the stage.
    public func json(_ file: String) throws -> JSONValue { try JSONValue(contentsOf: path(file)) }

    /// The tensors of a safetensors file of the stage.
    public func tensors(_ file: String) throws -> [String: Tensor] { try SafetensorsFile(path: path(file)).tensors }

    /// What the manifest says of a tensor.
    public func specification(_ file: String, _ tensor: String) -> JSONValue? {
        manifest["files"]?[file]?["tensors"]?[tensor]
    }

    /// The tensors of a file for which the manifest gives a tolerance: those that can be compared.
    public func comparable(_ file: String) -> [String] {
        (manifest["files"]?[file]?["tensors"]?.object ?? [:]).filter { $0.value["tolerance"] != nil }.keys.sorted()
    }

    /// The number u(seed, i) in -1..<1 by which sets describe large inputs.
    public static func hashed(seed: Int, index: Int) -> Float {
        var z = UInt64(bitPattern: Int64(seed)) &+ UInt64(index + 1) &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        z ^= z >> 31
        return Float(z >> 40) / 8_388_608 - 1
    }

    /// A tensor filled row-major with amplitude · u(seed, i), plus an offset.
    public static func hashed(seed: Int, amplitude: Float, shape: [Int], offset: Float = 0) -> Tensor {
        let count = shape.reduce(1, *)
        return Tensor((0..<count).map { hashed(seed: seed, index: $0) * amplitude + offset }, shape: shape)
    }
}
