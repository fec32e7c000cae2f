import Bytes
import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@Suite("Checkpoint directories")
struct CheckpointDirectoryTests {
    private func weights(_ names: String..., value: Float = 1, as file: String, in scratch: Scratch) throws {
        let tensors = Dictionary(uniqueKeysWithValues: names.map { ($0, Tensor(repeating: value, shape: [2])) })
        if file.hasSuffix(".safetensors") {
            try SafetensorsWriter.write(tensors, to: scratch.path(file))
        } else {
            let members = names.map { ($0, Pickle.Tensor(count: 2, shape: [2], strides: [1])) }
            let storage = littleEndian(value.bitPattern) + littleEndian(value.bitPattern)
            try scratch.write(Zip.torch(Pickle.dictionary(members), ["0": storage]).bytes, as: file)
        }
    }

    private func index(_ map: [String: String], as name: String, in scratch: Scratch) throws {
        let members = map.map { "\"\($0.key)\":\"\($0.value)\"" }.joined(separator: ",")
        try scratch.write("{\"metadata\":{\"total_size\":1},\"weight_map\":{\(members)}}", as: name)
    }

    // MARK: What is read

    /// Everything a directory can hold, in the order in which it is looked for, with the files each choice reads.
    private static let order: [(name: String, loaded: [String])] = [
        ("model.safetensors.index.json", ["s1.safetensors", "s2.safetensors"]),
        ("model.safetensors", ["model.safetensors"]),
        ("pytorch_model.bin.index.json", ["p1.bin", "p2.bin"]), ("pytorch_model.bin", ["pytorch_model.bin"]),
        ("model-00001-of-00002.safetensors", ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]),
        ("pytorch_model-00001-of-00002.bin", ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]),
        ("query_abstractor.safetensors", ["query_abstractor.safetensors", "mm_projector.safetensors"]),
        ("mm_projector.safetensors", ["query_abstractor.bin", "mm_projector.safetensors"]),
        ("query_abstractor.bin", ["query_abstractor.bin", "mm_projector.bin"]),
        ("mm_projector.bin", ["mm_projector.bin"]),
    ]

    @Test("of several kinds of weights the first in the documented order is read and the others are listed as ignored")
    func searchOrder() throws {
        let scratch = try Scratch()
        try scratch.write("{}", as: "config.json")
        try scratch.write("not weights", as: "optimizer.pt")
        for shard in ["s", "p"] {
            let suffix = shard == "s" ? "safetensors" : "bin"
            try weights("x", as: "\(shard)1.\(suffix)", in: scratch)
            try weights("y", as: "\(shard)2.\(suffix)", in: scratch)
        }
        try index(["x": "s1.safetensors", "y": "s2.safetensors"], as: "model.safetensors.index.json", in: scratch)
        try index(["x": "p1.bin", "y": "p2.bin"], as: "pytorch_model.bin.index.json", in: scratch)
        for name in ["model.safetensors", "pytorch_model.bin", "query_abstractor.safetensors", "query_abstractor.bin"] {
            try weights("x", as: name, in: scratch)
        }
        for name in ["mm_projector.safetensors", "mm_projector.bin"] { try weights("y", as: name, in: scratch) }
        for (prefix, suffix) in [("model", "safetensors"), ("pytorch_model", "bin")] {
            try weights("x", as: "\(prefix)-00001-of-00002.\(suffix)", in: scratch)
            try weights("y", as: "\(prefix)-00002-of-00002.\(suffix)", in: scratch)
        }

        for (name, loaded) in Self.order {
            let checkpoint = try CheckpointDirectory(path: scratch.path)
            let read = checkpoint.files.filter { $0.use == .loaded }
            #expect(read.map(\.name) == loaded, "\(name)")
            #expect(read.allSatisfy { $0.tensorCount == 1 && $0.byteCount > 0 })
            #expect(read.allSatisfy { $0.format == ($0.name.hasSuffix("bin") ? .pyTorch : .safetensors) })
            let ignored = checkpoint.files.filter { $0.use != .loaded }
            #expect(Set(ignored.map(\.name)).isDisjoint(with: loaded + ["optimizer.pt", "config.json"]))
            #expect(ignored.isEmpty == ["query_abstractor.bin", "mm_projector.bin"].contains(name))
            #expect(ignored.allSatisfy { $0.tensorCount == 0 && $0.byteCount > 0 })
            if name == "model.safetensors" {
                let file = try #require(ignored.first { $0.name == "pytorch_model.bin" })
                #expect(file.use == .ignored("model.safetensors comes first"))
            }
            for file in name.contains("-of-") ? loaded : [name] {
                try FileManager.default.removeItem(atPath: scratch.path(file))
            }
        }
        let rest = try scratch.names
        #expect(throws: CheckpointError.noWeights(directory: scratch.path, found: rest)) {
            try CheckpointDirectory(path: scratch.path)
        }
    }

    @Test("a single file is read with the config.json beside it, or with none")
    func singleFile() throws {
        let scratch = try Scratch()
        try weights("a", as: "model.safetensors", in: scratch)
        try weights("model.query_abstractor.query", as: "x.bin", in: scratch)
        let alone = try CheckpointDirectory(path: scratch.path("x.bin"))
        #expect(alone.files.map(\.name) == ["x.bin"] && alone.configPath == nil)
        #expect(alone.config == .object([:]) && alone.configData == Data("{}".utf8))
        #expect(alone.layout == .adapter([.queryAbstractor]))
        #expect(throws: CheckpointError.missingConfiguration(directory: scratch.path, found: ["x.bin"])) {
            try alone.decodeConfig([String: Int].self)
        }
        try scratch.write(#"{"k":1}"#, as: "config.json")
        let beside = try CheckpointDirectory(path: scratch.path("x.bin"))
        #expect(beside.config["k"] == .integer(1) && beside.configPath == scratch.path("config.json"))
        #expect(try beside.decodeConfig([String: Int].self) == ["k": 1])
    }

    // MARK: What is refused

    @Test("a directory without weights, without config.json or not there at all is refused with what was found")
    func incomplete() throws {
        let scratch = try Scratch()
        #expect(throws: CheckpointError.unreadable(path: scratch.path("no"), reason: "no such file or directory")) {
            try CheckpointDirectory(path: scratch.path("no"))
        }
        try scratch.write("{}", as: "config.json")
        let none = #expect(throws: CheckpointError.self) { try CheckpointDirectory(path: scratch.path) }
        #expect(none == .noWeights(directory: scratch.path, found: ["config.json"]))
        #expect(none?.description.contains("model.safetensors.index.json") == true)
        #expect(none?.description.contains("found config.json") == true)

        try weights("a", as: "model.safetensors", in: scratch)
        try scratch.write("[]", as: "config.json")
        #expect(
            throws: CheckpointError.unexpectedValue(
                file: scratch.path("config.json"), key: "", expected: "an object", got: "an array")
        ) {
            try CheckpointDirectory(path: scratch.path)
        }
        try FileManager.default.removeItem(atPath: scratch.path("config.json"))
        #expect(throws: CheckpointError.missingConfiguration(directory: scratch.path, found: ["model.safetensors"])) {
            try CheckpointDirectory(path: scratch.path)
        }
    }

    @Test("all shards that are missing are listed")
    func missingShards() throws {
        let scratch = try Scratch()
        try scratch.write("{}", as: "config.json")
        try weights("a", as: "s1.safetensors", in: scratch)
        let map = ["a": "s1.safetensors", "b": "s3.safetensors", "c": "s2.safetensors", "d": "s3.safetensors"]
        try index(map, as: "model.safetensors.index.json", in: scratch)
        #expect(
            throws: CheckpointError.missingFiles(
                namedBy: scratch.path("model.safetensors.index.json"), files: ["s2.safetensors", "s3.safetensors"])
        ) { try CheckpointDirectory(path: scratch.path) }
    }

    @Test("a gap in numbered shards without an index is noticed")
    func missingNumbers() throws {
        let scratch = try Scratch()
        try scratch.write("{}", as: "config.json")
        try weights("a", as: "pytorch_model-00002-of-00004.bin", in: scratch)
        try weights("b", as: "pytorch_model-00003-of-00004.bin", in: scratch)
        let missing = ["pytorch_model-00001-of-00004.bin", "pytorch_model-00004-of-00004.bin"]
        #expect(
            throws: CheckpointError.missingFiles(
                namedBy: scratch.path("pytorch_model-00002-of-00004.bin"), files: missing)
        ) {
            try CheckpointDirectory(path: scratch.path)
        }
    }

    @Test("tensors that are not in the shard their index names are listed")
    func missingTensors() throws {
        let scratch = try Scratch()
        try scratch.write("{}", as: "config.json")
        try weights("a", "extra", as: "s1.safetensors", in: scratch)
        try weights("b", as: "s2.safetensors", in: scratch)
        let name = "model.safetensors.index.json"
        try index(["a": "s1.safetensors", "b": "s2.safetensors"], as: name, in: scratch)
        #expect(try CheckpointDirectory(path: scratch.path).tensors.keys.sorted() == ["a", "b", "extra"])
        try index(["a": "s2.safetensors", "b": "s2.safetensors", "c": "s1.safetensors"], as: name, in: scratch)
        let error = CheckpointError.missingTensors(
            index: scratch.path(name), tensors: ["a (s2.safetensors)", "c (s1.safetensors)"])
        #expect(throws: error) { try CheckpointDirectory(path: scratch.path) }
    }

    @Test("a tensor in two shards is refused with both files")
    func duplicates() throws {
        let scratch = try Scratch()
        try scratch.write("{}", as: "config.json")
        try weights("a", "b", as: "s1.safetensors", in: scratch)
        try weights("b", as: "s2.safetensors", in: scratch)
        try index(["a": "s1.safetensors", "b": "s2.safetensors"], as: "model.safetensors.index.json", in: scratch)
        let files = [scratch.path("s1.safetensors"), scratch.path("s2.safetensors")]
        #expect(throws: CheckpointError.duplicateTensor(name: "b", files: files)) {
            try CheckpointDirectory(path: scratch.path)
        }
    }

    @Test(
        "a shard outside the directory is refused, whether it exists or not",
        arguments: [
            "../secret.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", "a\\\\b", "x\\u0000y",
            "..\\u002f", "x..y",
            "a\\nb",
        ])
    func outside(name: String) throws {
        let scratch = try Scratch()
        try FileManager.default.createDirectory(atPath: scratch.path("model/a"), withIntermediateDirectories: true)
        for file in ["secret.safetensors", "model/a/b.safetensors"] { try weights("a", as: file, in: scratch) }
        try scratch.write("{}", as: "model/config.json")
        try index(["a": name], as: "model/model.safetensors.index.json", in: scratch)
        let error = try #require(throws: CheckpointError.self) { try CheckpointDirectory(path: scratch.path("model")) }
        guard case .unsafeShardName(let index, _) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(index == scratch.path("model/model.safetensors.index.json"))
    }

    @Test(
        "a damaged index is refused with its key",
        arguments: [
            ("{}", "weight_map"), ("[]", "weight_map"), (#"{"weight_map":[]}"#, "weight_map"),
            (#"{"weight_map":{"a":1}}"#, "weight_map.a"), (#"{"weight_map":{"a":null}}"#, "weight_map.a"),
            ("{", "line 1, column 2"), (#"{"weight_map":{"a":"x","a":"y"}}"#, "twice"),
            (#"{"weight_map":{}}"#, "no tensors"),
        ])
    func badIndex(text: String, part: String) throws {
        let scratch = try Scratch()
        try scratch.write("{}", as: "config.json")
        try scratch.write(text, as: "model.safetensors.index.json")
        let error = try #require(throws: CheckpointError.self) { try CheckpointDirectory(path: scratch.path) }
        #expect(
            error.description.contains(part) && error.description.contains("model.safetensors.index.json"), "\(error)")
    }

    @Test("a damaged shard is refused with its own name")
    func badShard() throws {
        let scratch = try Scratch()
        try scratch.write("{}", as: "config.json")
        try weights("a", as: "s1.safetensors", in: scratch)
        try scratch.write("version https://git-lfs.github.com/spec/v1\n", as: "s2.safetensors")
        try index(["a": "s1.safetensors", "b": "s2.safetensors"], as: "model.safetensors.index.json", in: scratch)
        let error = try #require(throws: CheckpointError.self) { try CheckpointDirectory(path: scratch.path) }
        #expect(error.description.contains("s2.safetensors is a Git LFS pointer"))
    }
}
