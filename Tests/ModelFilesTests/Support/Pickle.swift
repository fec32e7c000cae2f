/// Builds pickles, good ones and bad ones, instruction by instruction.
struct Pickle {
    private(set) var bytes: [UInt8] = [0x80, 2]

    /// A tensor as `torch.save` describes it.
    struct Tensor {
        var type = "FloatStorage"
        var key = "0"
        var count: Int
        var offset = 0
        var shape: [Int]
        var strides: [Int]
    }

    /// A dictionary of tensors.
    static func dictionary(_ tensors: [(String, Tensor)]) -> [UInt8] {
        var pickle = Pickle()
        pickle.add("}")
        for (name, tensor) in tensors { pickle.member(name) { $0.tensor(tensor) } }
        return pickle.finished
    }

    /// The pickle with its last instruction.
    var finished: [UInt8] { bytes + Array(".".utf8) }

    mutating func add(_ opcode: Character) { bytes.append(opcode.asciiValue ?? 0) }
    mutating func add(raw: [UInt8]) { bytes += raw }

    mutating func text(_ text: String) {
        add("X")
        bytes += littleEndian(UInt32(text.utf8.count)) + Array(text.utf8)
    }

    mutating func integer(_ value: Int) { bytes += [0x8A, 8] + littleEndian(Int64(value)) }

    mutating func global(_ module: String, _ name: String) { bytes += Array("c\(module)\n\(name)\n".utf8) }

    mutating func tuple(_ body: (inout Pickle) -> Void) {
        add("(")
        body(&self)
        add("t")
    }

    /// Sets a member of the dictionary on the stack.
    mutating func member(_ key: String, _ value: (inout Pickle) -> Void) {
        text(key)
        value(&self)
        add("s")
    }

    mutating func call(_ module: String, _ name: String, _ arguments: (inout Pickle) -> Void) {
        global(module, name)
        tuple(arguments)
        add("R")
    }

    mutating func storage(_ type: String, key: String, count: Int) {
        tuple {
            $0.text("storage")
            $0.global("torch", type)
            $0.text(key)
            $0.text("cpu")
            $0.integer(count)
        }
        add("Q")
    }

    mutating func integers(_ values: [Int]) { tuple { for value in values { $0.integer(value) } } }

    mutating func tensor(_ tensor: Tensor) {
        call("torch._utils", "_rebuild_tensor_v2") {
            $0.storage(tensor.type, key: tensor.key, count: tensor.count)
            $0.integer(tensor.offset)
            $0.integers(tensor.shape)
            $0.integers(tensor.strides)
            $0.add(raw: [0x89])
            $0.call("collections", "OrderedDict") { _ in }
        }
    }
}
