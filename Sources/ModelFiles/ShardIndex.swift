package import Bytes
internal import Foundation

/// A `*.index.json`: which tensor lies in which shard.
package struct ShardIndex {
    /// Where the index lies.
    let path: String
    /// Shard by tensor name.
    let shards: [String: String]

    /// Names of the shards, sorted.
    var files: [String] { Set(shards.values).sorted() }

    /// Reads the index at `path`.
    /// - Throws: `CheckpointError.unsafeShardName` for a shard outside the index's directory; errors about the JSON.
    init(path: String) throws {
        try self.init(JSONValue(contentsOf: path), path: path)
    }

    /// Takes the index from the contents of the file at `path`.
    package init(_ value: JSONValue, path: String) throws {
        guard let map = value["weight_map"]?.object else {
            throw CheckpointError.unexpectedValue(
                file: path, key: "weight_map", expected: "an object of shard names by tensor",
                got: value["weight_map"]?.kind ?? "missing")
        }
        guard !map.isEmpty else { throw CheckpointError.noTensors(files: [path]) }
        var shards: [String: String] = [:]
        for (tensor, value) in map {
            guard let shard = value.string else {
                throw CheckpointError.unexpectedValue(
                    file: path, key: "weight_map.\(tensor)", expected: "the name of a shard", got: value.kind)
            }
            guard Self.isPlainName(shard) else {
                throw CheckpointError.unsafeShardName(index: path, name: shard)
            }
            shards[tensor] = shard
        }
        self.path = path
        self.shards = shards
    }

    private static func isPlainName(_ name: String) -> Bool {
        !name.isEmpty && name != "." && !name.contains("..")
            && !name.utf8.contains { $0 < 0x20 || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") }
    }

    /// Throws unless every tensor that is listed is in its shard; `names` gives the tensors of each shard.
    func check(_ names: [String: Set<String>]) throws {
        let missing = shards.filter { tensor, shard in names[shard]?.contains(tensor) != true }
            .map { "\($0.key) (\($0.value))" }.sorted()
        guard missing.isEmpty else { throw CheckpointError.missingTensors(index: path, tensors: missing) }
    }
}
