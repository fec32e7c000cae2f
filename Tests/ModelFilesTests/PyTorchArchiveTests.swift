import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@Suite("PyTorch archives")
struct PyTorchArchiveTests {
    /// Four floats.
    private static let storage: [UInt8] = [1, 2, 3, 4].flatMap { littleEndian(Float($0).bitPattern) }

    /// Loads a file with one tensor "a" over a storage of four floats.
    private func load(_ tensor: Pickle.Tensor, in scratch: Scratch) throws -> Tensor? {
        let zip = Zip.torch(Pickle.dictionary([("a", tensor)]), ["0": Self.storage])
        return try PyTorchArchive(path: scratch.write(zip.bytes, as: "a.bin")).tensors["a"]
    }

    // MARK: Views

    struct View: Sendable {
        var tensor: Pickle.Tensor
        var values: [Float]

        init(_ offset: Int, _ shape: [Int], _ strides: [Int], _ values: [Float]) {
            tensor = .init(count: 4, offset: offset, shape: shape, strides: strides)
            self.values = values
        }
    }

    @Test(
        "a view has its storage's elements in the order its strides give",
        arguments: [
            View(0, [4], [1], [1, 2, 3, 4]), View(1, [3], [1], [2, 3, 4]), View(0, [2, 2], [2, 1], [1, 2, 3, 4]),
            View(0, [2, 2], [1, 2], [1, 3, 2, 4]), View(0, [2], [3], [1, 4]), View(3, [], [], [4]),
            View(0, [0], [1], []),
            View(4, [0, 7], [7, 1], []), View(3, [1], [1000], [4]),
            View(0, [1, 2, 1, 2], [9, 2, 9, 1], [1, 2, 3, 4]),
            View(0, [2, 1, 2], [1, 5, 2], [1, 3, 2, 4]), View(2, [5], [0], [3, 3, 3, 3, 3]),
            View(0, [2, 3], [1, 1], [1, 2, 3, 2, 3, 4]), View(0, [2, 2, 2], [1, 1, 1], [1, 2, 2, 3, 2, 3, 3, 4]),
        ])
    func views(view: View) throws {
        let scratch = try Scratch()
        let tensor = try #require(try load(view.tensor, in: scratch))
        #expect(tensor.shape == view.tensor.shape)
        #expect(tensor.floats == view.values)
    }

    @Test(
        "a view that leaves its storage is refused",
        arguments: [
            View(0, [5], [1], []), View(1, [4], [1], []), View(-1, [2], [1], []), View(0, [2], [-1], []),
            View(3, [2], [-1], []), View(5, [0], [1], []), View(4, [], [], []), View(0, [2, 2], [3, 1], []),
            View(.max, [1], [1], []), View(0, [2], [.max], []), View(.max, [2], [.max], []),
            View(0, [3, 3], [.max / 2, .max / 2], []),
        ])
    func leavesStorage(view: View) throws {
        let scratch = try Scratch()
        do {
            _ = try load(view.tensor, in: scratch)
            Issue.record("the view was loaded")
        } catch CheckpointError.tensorOutOfBounds(_, let tensor, _, _, let available) {
            #expect(tensor == "a" && available == 16)
        }
    }

    @Test(
        "a shape that cannot be is refused",
        arguments: [
            [-1], [-1, -1], [1 << 62, 1 << 62], [0, .max, .max], Array(repeating: 1, count: 65),
        ])
    func badShape(shape: [Int]) throws {
        let scratch = try Scratch()
        let tensor = Pickle.Tensor(count: 4, shape: shape, strides: shape.map { _ in 0 })
        #expect(throws: CheckpointError.invalidShape(file: scratch.path("a.bin"), tensor: "a", shape: shape)) {
            try load(tensor, in: scratch)
        }
    }

    @Test("strides of 0 cannot make a small file take much memory")
    func amplification() throws {
        let scratch = try Scratch()
        do {
            _ = try load(.init(count: 4, shape: [1 << 20, 1 << 20], strides: [0, 0]), in: scratch)
            Issue.record("the view was loaded")
        } catch CheckpointError.copiesTooLarge(_, let tensor, let wanted, let available) {
            #expect(tensor == "a" && wanted == 1 << 42 && available < 2000)
        }
        // Many copies of one view are one; many views of one storage are not.
        let same = (0..<100).map { ("\($0)", Pickle.Tensor(count: 4, shape: [2, 2], strides: [1, 2])) }
        let zip = Zip.torch(Pickle.dictionary(same), ["0": Self.storage])
        #expect(try PyTorchArchive(path: scratch.write(zip.bytes, as: "b.bin")).tensors.count == 100)
        let other = (0..<3000).map { ("\($0)", Pickle.Tensor(count: 4, shape: [$0, 1], strides: [0, 2])) }
        let large = Zip.torch(Pickle.dictionary(other), ["0": Self.storage])
        #expect(throws: CheckpointError.self) { try PyTorchArchive(path: scratch.write(large.bytes, as: "c.bin")) }
    }

    @Test("tensors over one storage share its bytes in the mapping; a misaligned storage is copied")
    func sharing() throws {
        let scratch = try Scratch()
        var zip = Zip.torch(
            Pickle.dictionary([
                ("a", .init(count: 4, shape: [4], strides: [1])),
                ("b", .init(count: 4, offset: 2, shape: [2], strides: [1])),
            ]), ["0": Self.storage])
        var aligned: Set<Bool> = []
        // The name before the entry moves it by one byte at a time.
        for padding in 1...4 {
            zip.entries[1].name = "archive/byteorder" + (padding == 1 ? "" : String(repeating: "x", count: padding - 1))
            let tensors = try PyTorchArchive(path: scratch.write(zip.bytes, as: "a.bin")).tensors
            #expect(tensors["a"]?.floats == [1, 2, 3, 4] && tensors["b"]?.floats == [3, 4])
            #expect(tensors["a"]?.isMapped == tensors["b"]?.isMapped)
            aligned.insert(tensors["a"]?.isMapped == true)
        }
        #expect(aligned == [true, false])
    }

    @Test(
        "every storage class has its element type",
        arguments: [
            ("DoubleStorage", ElementType.float64), ("FloatStorage", .float32), ("HalfStorage", .float16),
            ("BFloat16Storage", .bfloat16), ("LongStorage", .int64), ("IntStorage", .int32), ("ShortStorage", .int16),
            ("CharStorage", .int8), ("ByteStorage", .uint8), ("BoolStorage", .bool),
        ])
    func storageTypes(name: String, type: ElementType) throws {
        let scratch = try Scratch()
        let count = 16 / type.byteCount
        let tensor = try load(.init(type: name, count: count, shape: [count], strides: [1]), in: scratch)
        #expect(tensor?.elementType == type && tensor?.byteCount == 16)
        #expect(
            throws: CheckpointError.tensorByteCount(
                file: scratch.path("a.bin"), tensor: "a", expected: 16 + type.byteCount, got: 16)
        ) {
            try load(.init(type: name, count: count + 1, shape: [1], strides: [1]), in: scratch)
        }
    }

    // MARK: What holds the tensors

    /// A dictionary under `keys`, one inside the other, with a tensor "w", and beside each of them things to ignore.
    private func nested(_ keys: [String]) -> [UInt8] {
        var pickle = Pickle()
        func fill(_ pickle: inout Pickle, _ keys: ArraySlice<String>) {
            pickle.add("}")
            pickle.member("epoch") { $0.integer(3) }
            if let key = keys.first {
                pickle.member(key) { fill(&$0, keys.dropFirst()) }
                pickle.member("args") { $0.tuple { $0.text("x") } }
                pickle.member("other") { $0.tensor(.init(count: 4, shape: [2], strides: [1])) }
            } else {
                pickle.member("w") { $0.tensor(.init(count: 4, shape: [4], strides: [1])) }
            }
        }
        fill(&pickle, keys[...])
        return pickle.finished
    }

    @Test(
        "the dictionary of weights is found inside the usual wrappers",
        arguments: [
            ([], ["w"]), (["state_dict"], ["w"]), (["model"], ["w"]), (["module"], ["w"]),
            (["model_state_dict"], ["w"]),
            (["model", "state_dict"], ["w"]), (["optimizer"], ["other"]),
            (["model", "model", "model", "model", "model"], ["other"]),
        ])
    func wrappers(keys: [String], names: [String]) throws {
        let scratch = try Scratch()
        let zip = Zip.torch(nested(keys), ["0": Self.storage])
        #expect(try PyTorchArchive(path: scratch.write(zip.bytes, as: "a.bin")).tensors.keys.sorted() == names)
    }

    @Test("anything but a dictionary is refused; an empty one has no tensors")
    func roots() throws {
        let scratch = try Scratch()
        var list = Pickle()
        list.add("]")
        var tensor = Pickle()
        tensor.tensor(.init(count: 4, shape: [4], strides: [1]))
        var number = Pickle()
        number.integer(1)
        for (pickle, kind) in [
            (list, "a list or tuple"), (tensor, "a single tensor"), (number, "a value without tensors"),
        ] {
            let path = try scratch.write(Zip.torch(pickle.finished, ["0": Self.storage]).bytes, as: "a.bin")
            let error = CheckpointError.unexpectedValue(
                file: path, key: "", expected: "a dictionary of tensors", got: kind)
            #expect(throws: error) { try PyTorchArchive(path: path) }
        }
        let path = try scratch.write(Zip.torch(Pickle.dictionary([])).bytes, as: "b.bin")
        #expect(try PyTorchArchive(path: path).tensors.isEmpty)
        #expect(throws: CheckpointError.noTensors(files: [path])) { try CheckpointDirectory(path: path) }
    }

    @Test("two tensors of one name are refused")
    func duplicates() throws {
        let scratch = try Scratch()
        let tensor = Pickle.Tensor(count: 4, shape: [4], strides: [1])
        let zip = Zip.torch(Pickle.dictionary([("a", tensor), ("a", tensor)]), ["0": Self.storage])
        let path = try scratch.write(zip.bytes, as: "a.bin")
        #expect(throws: CheckpointError.duplicateTensor(name: "a", files: [path])) { try PyTorchArchive(path: path) }
    }

    @Test("a storage without its entry is refused by name")
    func missingStorage() throws {
        let scratch = try Scratch()
        let zip = Zip.torch(Pickle.dictionary([("a", .init(key: "../9", count: 4, shape: [4], strides: [1]))]))
        let error = CheckpointError.damaged(
            file: scratch.path("a.bin"), part: "data.pkl", offset: 0,
            expected: "an entry archive/data/../9 for tensor a", got: "none")
        #expect(throws: error) { try PyTorchArchive(path: scratch.write(zip.bytes, as: "a.bin")) }
    }

    // MARK: The archive

    private static let good = Zip.torch(
        Pickle.dictionary([("a", .init(count: 4, shape: [4], strides: [1]))]), ["0": storage])

    @Test("archives from before the byteorder entry, with comments or with fields of 64 bits are read")
    func variants() throws {
        let scratch = try Scratch()
        var old = Self.good
        old.entries.remove(at: 1)
        var comment = Self.good
        comment.comment = "a comment with PK\u{5}\u{6} in it"
        var wide = Self.good
        wide.isWide = true
        var descriptors = Self.good
        for index in descriptors.entries.indices {
            descriptors.entries[index].flags = 0x0808
            descriptors.entries[index].localSize = 0
        }
        for zip in [old, comment, wide, descriptors] {
            let path = try scratch.write(zip.bytes, as: "a.bin")
            #expect(try PyTorchArchive(path: path).tensors["a"]?.floats == [1, 2, 3, 4])
        }
    }

    @Test("tensors beyond 4 GB are read in place")
    func large() throws {
        let scratch = try Scratch()
        var zip = Zip.torch(
            Pickle.dictionary([
                (
                    "large",
                    .init(
                        type: "ByteStorage", key: "0", count: 5 << 30, offset: 5 << 30 - 16, shape: [16], strides: [1])
                ),
                ("a", .init(key: "1", count: 4, shape: [4], strides: [1])),
            ]))
        zip.isWide = true
        zip.entries.append(.init(name: "archive/data/0", contents: Self.storage, hole: 5 << 30 - 16))
        zip.entries.append(.init(name: "archive/data/1", contents: Self.storage))
        try zip.write(to: scratch.path("a.bin"))
        let tensors = try PyTorchArchive(path: scratch.path("a.bin")).tensors
        #expect(tensors["a"]?.floats == [1, 2, 3, 4])
        #expect(tensors["large"].map(bytes) == Self.storage && tensors["large"]?.isMapped == true)
    }

    @Test("a big-endian archive is refused")
    func byteOrder() throws {
        let scratch = try Scratch()
        let path = try scratch.write(Zip.torch(Pickle.dictionary([]), byteOrder: "big").bytes, as: "a.bin")
        let error = CheckpointError.unsupportedFormat(
            file: path, found: "a PyTorch file of byte order \"big\"",
            advice: "save it again on a little-endian machine, or as safetensors")
        #expect(throws: error) { try PyTorchArchive(path: path) }
    }

    /// An archive that must be refused: what is changed, and a part of the error's text.
    struct BadZip: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var text: String
        var change: @Sendable (inout Zip) -> Void

        init(_ title: String, _ text: String, _ change: @escaping @Sendable (inout Zip) -> Void) {
            (testDescription, self.text, self.change) = (title, text, change)
        }
    }

    @Test(
        "an archive whose parts contradict each other is refused",
        arguments: [
            BadZip("a compressed storage", "with the compressed entry archive/data/0") { $0.entries[2].method = 8 },
            BadZip("a compressed pickle", "with the compressed entry archive/data.pkl") { $0.entries[0].method = 8 },
            BadZip("an encrypted storage", "encryption flag 0, got 1") { $0.entries[2].flags = 1 },
            BadZip("another name in the local header", "name archive/data/0, got archive/data/1") {
                $0.entries[2].localName = "archive/data/1"
            },
            BadZip("another size in the local header", "size 16, got 8") { $0.entries[2].localSize = 8 },
            BadZip("a size beside bit 3", "size 16, got 8") {
                $0.entries[2].localSize = 8
                $0.entries[2].flags = 8
            },
            BadZip("the same name twice", "archive/data/0 twice") { $0.entries.append($0.entries[2]) },
            BadZip("too many entries for the directory", "expected at most 4 entries") { $0.entryCount = 5 },
            BadZip("2^62 entries", "expected at most") {
                $0.isWide = true
                $0.entryCount = 1 << 62
            },
            BadZip("a directory that begins too late", "wanted at offset") { $0.directoryOffset = 1 << 30 },
            BadZip("a directory that begins beyond Int", "wanted at offset") {
                $0.isWide = true
                $0.directoryOffset = .max
            },
            BadZip("a directory that begins too early", "the signature of an entry") { $0.directoryOffset = 0 },
            BadZip("an empty name", "a name of 1 to 4096 bytes, got 0 bytes") { $0.entries[1].name = "" },
            BadZip("a name that is too long", "got 5000 bytes") {
                $0.entries[1].name = String(repeating: "x", count: 5000)
            },
            BadZip("no pickle", "with 0 entries data.pkl") { $0.entries.removeFirst() },
            BadZip("two pickles", "with 2 entries data.pkl") { $0.entries.append(.init(name: "data.pkl")) },
            BadZip("a TorchScript program", "a TorchScript program") {
                $0.entries.append(.init(name: "archive/constants.pkl"))
            },
            BadZip("no entries at all", "empty zip archive") { $0.entries = [] },
            BadZip("an empty pickle", "archive/data.pkl: 1 bytes wanted") { $0.entries[0].contents = [] },
        ])
    func badZip(_ bad: BadZip) throws {
        let scratch = try Scratch()
        var zip = Self.good
        bad.change(&zip)
        let path = try scratch.write(zip.bytes, as: "a.bin")
        let error = try #require(throws: CheckpointError.self) { try PyTorchArchive(path: path) }
        #expect(error.description.contains(bad.text), "\(error)")
        #expect(error.description.contains(path))
    }

    @Test("an archive cut short anywhere is refused")
    func truncations() throws {
        let scratch = try Scratch()
        let bytes = Self.good.bytes
        for count in 0..<bytes.count {
            let path = try scratch.write(Array(bytes.prefix(count)), as: "a.bin")
            #expect(throws: CheckpointError.self, "\(count) of \(bytes.count)") { try PyTorchArchive(path: path) }
        }
    }
}
