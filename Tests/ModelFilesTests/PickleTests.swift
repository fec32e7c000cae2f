import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@Suite("Pickles")
struct PickleTests {
    private func load(_ pickle: [UInt8], in scratch: Scratch) throws -> [String: Tensor] {
        let storage = [1, 2, 3, 4].flatMap { littleEndian(Float($0).bitPattern) }
        return try TensorFile.load(path: scratch.write(Zip.torch(pickle, ["0": storage]).bytes, as: "a.bin"))
    }

    // MARK: Malice

    @Test(
        "a pickle that calls os.system is refused by that name and the command is not run",
        arguments: [
            ("os", "system"), ("posix", "system"), ("subprocess", "check_output"), ("builtins", "eval"),
            ("__builtin__", "exec"), ("torch.storage", "_load_from_bytes"), ("torch", "load"), ("runpy", "run_path"),
            ("torch._utils", "_rebuild_tensor"), ("collections", "OrderedDict.__reduce__"), ("", ""),
        ])
    func command(module: String, name: String) throws {
        let scratch = try Scratch()
        let marker = scratch.path("marker")
        var pickle = Pickle()
        pickle.add("}")
        let offset = 1 + pickle.bytes.count
        pickle.text("w")
        let call = offset + 5
        pickle.call(module, name) { $0.text("touch '\(marker)'") }
        pickle.add("s")

        let error = try #require(throws: CheckpointError.self) { try load(pickle.finished, in: scratch) }
        guard case .forbiddenGlobal(let file, "\(module).\(name)", let place) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(file == scratch.path("a.bin"))
        // The pickle is the archive's first entry, after a local header and its name.
        #expect(place == 30 + "archive/data.pkl".utf8.count + call)
        #expect(error.description.contains("wants to call \(module).\(name)"))
        #expect(error.description.contains("was not run"))
        #expect(!FileManager.default.fileExists(atPath: marker))
    }

    @Test("the same through the instructions of later protocols")
    func laterProtocols() throws {
        let scratch = try Scratch()
        let marker = scratch.path("marker")
        func short(_ text: String) -> [UInt8] { [0x8C, UInt8(text.utf8.count)] + Array(text.utf8) }
        let body =
            short("os") + [0x94] + short("system") + [0x94, 0x93, 0x94] + short("touch '\(marker)'")
            + [0x94, 0x85, 0x94, 0x52, 0x94, 0x2E]
        let pickle = [0x80, 4, 0x95] + littleEndian(UInt64(body.count)) + body
        let error = try #require(throws: CheckpointError.self) { try load(pickle, in: scratch) }
        #expect(error.description.contains("wants to call os.system"))
        #expect(!FileManager.default.fileExists(atPath: marker))
    }

    @Test(
        "a list that many calls copy is refused before it fills the memory",
        arguments: [("collections", "OrderedDict"), ("torch", "Size")])
    func copies(module: String, name: String) throws {
        let get: (UInt8) -> [UInt8] = { [0x68, $0] }
        var pickle = Pickle()
        pickle.add("]")
        pickle.add(raw: [0x71, 0])
        pickle.add("(")
        pickle.add(raw: [0x4E, 0x4E, 0x86, 0x71, 1])
        for _ in 1..<2000 { pickle.add(raw: get(1)) }
        pickle.add("e")
        pickle.global(module, name)
        pickle.add(raw: [0x71, 2])
        // Each call takes seven bytes and would keep thousands of values.
        for _ in 0..<2000 { pickle.add(raw: get(2) + get(0) + [0x85, 0x52, 0x30]) }
        pickle.add("}")
        let scratch = try Scratch()
        let error = try #require(throws: CheckpointError.self) { try load(pickle.finished, in: scratch) }
        guard case .damaged(_, "archive/data.pkl", _, let expected, "more") = error else {
            Issue.record("\(error)")
            return
        }
        #expect(expected.hasPrefix("calls that copy at most"))
    }

    @Test("of a shape with thousands of extents no more are read than show that it is none")
    func extents() throws {
        let ones = Array(repeating: 1, count: 5000)
        let pickle = Pickle.dictionary([("a", Pickle.Tensor(count: 4, shape: ones, strides: ones))])
        let scratch = try Scratch()
        let shape = Array(repeating: 1, count: 65)
        #expect(throws: CheckpointError.invalidShape(file: scratch.path("a.bin"), tensor: "a", shape: shape)) {
            try load(pickle, in: scratch)
        }
    }

    @Test(
        "instructions that make objects of classes are refused",
        arguments: [
            ("INST", Array("ios\nsystem\n".utf8)), ("OBJ", Array("(o".utf8)), ("NEWOBJ", [0x29, 0x29, 0x81]),
            ("NEWOBJ_EX", [0x29, 0x29, 0x29, 0x92]), ("EXT1", [0x82, 1]), ("PERSID", Array("Px\n".utf8)),
            ("0xff", [0xFF]),
        ] as [(String, [UInt8])])
    func classes(name: String, bytes: [UInt8]) throws {
        let scratch = try Scratch()
        let error = try #require(throws: CheckpointError.self) { try load([0x80, 2] + bytes + [0x2E], in: scratch) }
        guard case .unsupportedInstruction(_, name, _) = error else {
            Issue.record("\(error)")
            return
        }
    }

    @Test(
        "names that may be named but not called are not called",
        arguments: [
            ("torch", "FloatStorage"), ("torch", "float16"), ("torch.nn.parameter", "Parameter"),
        ])
    func inert(module: String, name: String) throws {
        let scratch = try Scratch()
        var called = Pickle()
        called.call(module, name) { _ in }
        #expect(throws: CheckpointError.self) { try load(called.finished, in: scratch) }
        var named = Pickle()
        named.add("}")
        named.member("x") { $0.global(module, name) }
        #expect(try load(named.finished, in: scratch).isEmpty)
    }

    @Test("BUILD is for dictionaries alone")
    func build() throws {
        let scratch = try Scratch()
        let onDictionary =
            Pickle.dictionary([("a", .init(count: 4, shape: [4], strides: [1]))]).dropLast() + Array("}b.".utf8)
        #expect(try load(Array(onDictionary), in: scratch).keys.sorted() == ["a"])
        #expect(throws: CheckpointError.self) { try load([0x80, 2] + Array("]}b.".utf8), in: scratch) }
    }

    // MARK: Structure

    @Test("parameters, tensors of subclasses, and the other harmless calls are understood")
    func calls() throws {
        let scratch = try Scratch()
        let tensor = Pickle.Tensor(count: 4, offset: 1, shape: [2], strides: [1])
        var pickle = Pickle()
        pickle.call("collections", "OrderedDict") { _ in }
        pickle.member("parameter") {
            $0.call("torch._utils", "_rebuild_parameter") {
                $0.tensor(tensor); $0.add(raw: [0x88]); $0.add("}")
            }
        }
        pickle.member("subclass") {
            $0.call("torch._tensor", "_rebuild_from_type_v2") {
                $0.global("torch._utils", "_rebuild_parameter")
                $0.global("torch.nn.parameter", "Parameter")
                $0.tuple {
                    $0.tensor(tensor); $0.add(raw: [0x88]); $0.add("}")
                }
                $0.add("}")
            }
        }
        pickle.member("sized") {
            $0.call("torch._utils", "_rebuild_tensor_v2") {
                $0.storage("FloatStorage", key: "0", count: 4)
                $0.integer(1)
                $0.call("torch", "Size") { $0.integers([2]) }
                $0.integers([1])
            }
        }
        pickle.member("device") { $0.call("torch", "device") { $0.text("cuda") } }
        let tensors = try load(pickle.finished, in: scratch)
        #expect(tensors.keys.sorted() == ["parameter", "sized", "subclass"])
        for tensor in tensors.values { #expect(tensor.floats == [2, 3]) }
    }

    @Test(
        "integers of every width are read with their sign",
        arguments: [
            ([0x4B, 2], 2), ([0x4D, 2, 0], 2), ([0x4A, 2, 0, 0, 0], 2), ([0x8A, 1, 2], 2), ([0x8A, 0], 0),
            ([0x8B, 2, 0, 0, 0, 2, 0], 2), ([0x8A, 1, 0xFF], -1), ([0x4A, 0xFF, 0xFF, 0xFF, 0xFF], -1),
            ([0x8A, 8] + [UInt8](repeating: 0xFF, count: 8), -1), ([0x4B, 0xFF], 255), ([0x8A, 2, 0xFF, 0], 255),
            ([0x8A, 8, 0, 0, 0, 0, 0, 0, 0, 0x80], Int.min),
        ] as [([UInt8], Int)])
    func integers(bytes: [UInt8], value: Int) throws {
        // As the extent of a tensor: -1 and 255 are refused with the number they are.
        let scratch = try Scratch()
        var pickle = Pickle()
        pickle.add("}")
        pickle.member("a") {
            $0.call("torch._utils", "_rebuild_tensor_v2") {
                $0.storage("FloatStorage", key: "0", count: 4)
                $0.integer(0)
                $0.tuple { $0.add(raw: bytes) }
                $0.integers([1])
            }
        }
        if (0...4).contains(value) {
            #expect(try load(pickle.finished, in: scratch)["a"]?.shape == [value])
        } else if value < 0 {
            let error = CheckpointError.invalidShape(file: scratch.path("a.bin"), tensor: "a", shape: [value])
            #expect(throws: error) { try load(pickle.finished, in: scratch) }
        } else {
            let error = CheckpointError.tensorOutOfBounds(
                file: scratch.path("a.bin"), tensor: "a", begin: 0, end: 4 * value, available: 16)
            #expect(throws: error) { try load(pickle.finished, in: scratch) }
        }
    }

    @Test(
        "a pickle whose stack, marks or memo do not fit is refused",
        arguments: [
            ".", "0.", "1.", "2.", "s.", "}s.", "}u.", "t.", "\u{85}.", "a.", "]a.", "e.", "h\u{1}.",
            "j\u{1}\u{1}\u{1}\u{1}.",
            "q\u{1}.", "R.", "b.", "Q.", "NQ.", "}(Nu.", "N(s.", "(Nd.", "}(h\u{0}u", "ctorch\n", "ctorch\nSize",
            "NNR.",
            "(((", "X\u{7F}\u{0}\u{0}\u{0}x", "\u{80}\u{1}.", "\u{80}\u{6}.", "\u{93}.", "NN\u{93}.", "]NNs.", "}(0.",
            "}(0t.", "NN(s.",
            "NN(\u{86}t.", "](Na0e.",
        ])
    func malformed(text: String) throws {
        let scratch = try Scratch()
        let bytes = text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
        #expect(throws: CheckpointError.self) { try load([0x80, 2] + bytes, in: scratch) }
    }

    @Test("depth, cycles, and lengths without end do no harm", .timeLimit(.minutes(1)))
    func hostile() throws {
        let scratch = try Scratch()
        // A tuple in a tuple, a million deep.
        let deep =
            [0x80, 2, 0x7D] + Array("X".utf8) + littleEndian(UInt32(1)) + Array("a".utf8) + [0x29]
            + [UInt8](repeating: 0x85, count: 1_000_000) + Array("s.".utf8)
        #expect(try load(deep, in: scratch).isEmpty)
        // A list that holds itself, a dictionary that is its own "state_dict", and twice its own "model".
        #expect(try load([0x80, 2] + Array("}]q\u{0}h\u{0}a0.".utf8), in: scratch).isEmpty)
        var cycle = Pickle()
        cycle.add("}")
        cycle.add(raw: [0x71, 0])
        for key in ["state_dict", "model"] { cycle.member(key) { $0.add(raw: [0x68, 0]) } }
        #expect(try load(cycle.finished, in: scratch).isEmpty)
        // Doubling tuples: 2^60 values if anything walked them.
        #expect(
            try load(
                [0x80, 2, 0x7D, 0x29] + (0..<60).flatMap { _ in [0x32, 0x86] as [UInt8] } + Array("0.".utf8),
                in: scratch
            ).isEmpty)
        // Lengths that are not there.
        for length in [
            [0x58] + littleEndian(UInt32.max), [0x8D] + littleEndian(UInt64.max),
            [0x8D] + littleEndian(UInt64(Int.max)),
            [0x8E] + littleEndian(UInt64(Int.max)), [0x8B] + littleEndian(UInt32.max),
            [0x54] + littleEndian(UInt32.max),
        ] {
            #expect(throws: CheckpointError.self) { try load([0x80, 2] + length + [0x2E], in: scratch) }
        }
        // Marks and memo entries by the million.
        #expect(throws: CheckpointError.self) {
            try load([0x80, 2] + [UInt8](repeating: 0x28, count: 1_000_000) + [0x2E], in: scratch)
        }
        let memo = [0x80, 4, 0x7D] + [UInt8](repeating: 0x94, count: 1_000_000) + [0x2E]
        #expect(try load(memo, in: scratch).isEmpty)
    }
}
