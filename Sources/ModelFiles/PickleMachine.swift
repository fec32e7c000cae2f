internal import Bytes
internal import Tensors

/// A virtual machine for the pickles inside PyTorch archives (Python's `pickletools`, protocols 2 to 4).
///
/// It can build numbers, texts, tuples, lists, dictionaries and descriptions of tensors, and nothing else: names of
/// classes and functions are compared with `PickleGlobal`, and no code of the file's choosing can run. Every
/// instruction takes at least one byte and adds a bounded amount of memory, calls copy no more values altogether than
/// the pickle has bytes, and there are no loops, so work and memory are bounded by the pickle's size. Objects lie in one flat array and refer to each other by index: however
/// deep a file nests them, or in cycles, nothing here recurses.
struct PickleMachine {
    /// A value on the stack.
    enum Value {
        case none
        case boolean(Bool)
        case integer(Int)
        case text(String)
        /// Something weights have no use for: a float, bytes, a device.
        case opaque
        /// A tuple, list, set or dictionary: an index into `objects`.
        case object(Int)
        /// A class or function from the allow-list.
        case global(PickleGlobal)
        /// An index into `storages`.
        case storage(Int)
        /// An index into `tensors`.
        case tensor(Int)
    }

    /// A tuple, list, set or dictionary.
    struct Object {
        enum Kind { case tuple, list, dictionary }
        var kind: Kind
        /// The elements; for a dictionary keys and values in turn.
        var items: [Value] = []
    }

    /// A storage that a persistent id names.
    struct Storage {
        /// Name of the archive entry below `data/`.
        var key: String
        var elementType: ElementType
        /// Number of elements.
        var count: Int
    }

    /// A tensor over a storage, in elements.
    struct TensorView {
        var storage: Int
        var offset: Int
        var shape: [Int]
        var strides: [Int]
    }

    private(set) var objects: [Object] = []
    private(set) var storages: [Storage] = []
    private(set) var tensors: [TensorView] = []

    private var reader: FileReader
    private var opcodeOffset = 0
    private var stack: [Value] = []
    private var marks: [Int] = []
    private var memo: [Int: Value] = [:]
    /// Values that calls may still copy: one list can be the argument of many.
    private var copyBudget: Int

    private init(_ reader: FileReader) {
        self.reader = reader
        copyBudget = reader.remaining
    }

    /// Runs the pickle that `reader` covers; gives the machine with all objects, and the value that remains.
    static func run(_ reader: FileReader) throws -> (machine: PickleMachine, result: Value) {
        var machine = PickleMachine(reader)
        while true {
            machine.opcodeOffset = machine.reader.position
            let opcode = try machine.reader.integer(UInt8.self)
            if opcode == UInt8(ascii: ".") { return (machine, try machine.pop()) }
            try machine.execute(opcode)
        }
    }

    /// The members of the dictionary `value` whose keys are texts, in order; nil if it is no dictionary.
    func members(of value: Value) -> [(key: String, value: Value)]? {
        guard case .object(let index) = value, objects[index].kind == .dictionary else { return nil }
        let items = objects[index].items
        return stride(from: 0, to: items.count, by: 2).compactMap { at in
            if case .text(let key) = items[at] { (key, items[at + 1]) } else { nil }
        }
    }

    // MARK: - Instructions

    private mutating func execute(_ opcode: UInt8) throws {
        switch opcode {
        case 0x80:  // PROTO
            let version = try reader.integer(UInt8.self)
            guard (2...5).contains(version) else {
                throw damaged(expected: "pickle protocol 2 to 5", got: "\(version)")
            }
        case 0x95: _ = try reader.length64()  // FRAME
        case UInt8(ascii: "("): marks.append(stack.count)  // MARK
        case UInt8(ascii: "0"): _ = try pop()  // POP
        case UInt8(ascii: "1"): _ = try popMark()  // POP_MARK
        case UInt8(ascii: "2"): stack.append(try top())  // DUP

        case UInt8(ascii: "N"): stack.append(.none)  // NONE
        case 0x88: stack.append(.boolean(true))  // NEWTRUE
        case 0x89: stack.append(.boolean(false))  // NEWFALSE
        case UInt8(ascii: "K"): stack.append(.integer(Int(try reader.integer(UInt8.self))))  // BININT1
        case UInt8(ascii: "M"): stack.append(.integer(Int(try reader.integer(UInt16.self))))  // BININT2
        case UInt8(ascii: "J"): stack.append(.integer(Int(try reader.integer(Int32.self))))  // BININT
        case 0x8A: try pushLong(Int(reader.integer(UInt8.self)))  // LONG1
        case 0x8B: try pushLong(length32())  // LONG4
        case UInt8(ascii: "G"): try pushOpaque(8)  // BINFLOAT

        case UInt8(ascii: "X"): stack.append(.text(try reader.text(length32())))  // BINUNICODE
        case 0x8C: stack.append(.text(try reader.text(Int(reader.integer(UInt8.self)))))  // SHORT_BINUNICODE
        case 0x8D: stack.append(.text(try reader.text(reader.length64())))  // BINUNICODE8
        case UInt8(ascii: "U"), UInt8(ascii: "C"):  // SHORT_BINSTRING, SHORT_BINBYTES
            try pushOpaque(Int(reader.integer(UInt8.self)))
        case UInt8(ascii: "T"), UInt8(ascii: "B"): try pushOpaque(length32())  // BINSTRING, BINBYTES
        case 0x8E: try pushOpaque(reader.length64())  // BINBYTES8

        case UInt8(ascii: ")"): push(.tuple, [])  // EMPTY_TUPLE
        case UInt8(ascii: "t"): push(.tuple, try popMark())  // TUPLE
        case 0x85, 0x86, 0x87: push(.tuple, try pop(Int(opcode) - 0x84))  // TUPLE1, TUPLE2, TUPLE3
        case UInt8(ascii: "]"), 0x8F: push(.list, [])  // EMPTY_LIST, EMPTY_SET
        case UInt8(ascii: "l"), 0x91: push(.list, try popMark())  // LIST, FROZENSET
        case UInt8(ascii: "a"): try append([pop()], to: .list)  // APPEND
        case UInt8(ascii: "e"), 0x90: try append(popMark(), to: .list)  // APPENDS, ADDITEMS
        case UInt8(ascii: "}"): push(.dictionary, [])  // EMPTY_DICT
        case UInt8(ascii: "d"): push(.dictionary, try pairs(popMark()))  // DICT
        case UInt8(ascii: "s"): try append(pop(2), to: .dictionary)  // SETITEM
        case UInt8(ascii: "u"): try append(pairs(popMark()), to: .dictionary)  // SETITEMS

        case UInt8(ascii: "q"): memo[Int(try reader.integer(UInt8.self))] = try top()  // BINPUT
        case UInt8(ascii: "r"): memo[Int(try reader.integer(UInt32.self))] = try top()  // LONG_BINPUT
        case 0x94: memo[memo.count] = try top()  // MEMOIZE
        case UInt8(ascii: "h"): try pushMemo(Int(reader.integer(UInt8.self)))  // BINGET
        case UInt8(ascii: "j"): try pushMemo(Int(reader.integer(UInt32.self)))  // LONG_BINGET

        case UInt8(ascii: "c"):  // GLOBAL
            let module = try reader.line(atMost: 1024)
            try pushGlobal(module, reader.line(atMost: 1024))
        case 0x93:  // STACK_GLOBAL
            let names = try pop(2)
            guard case .text(let module) = names[0], case .text(let name) = names[1] else {
                throw damaged(expected: "two names", got: "other values")
            }
            try pushGlobal(module, name)
        case UInt8(ascii: "R"):  // REDUCE
            let call = try pop(2)
            stack.append(try apply(call[0], to: call[1]))
        case UInt8(ascii: "b"):  // BUILD: attributes of a dictionary, such as _metadata, which are ignored
            let values = try pop(2)
            guard case .object(let index) = values[0], objects[index].kind == .dictionary else {
                throw CheckpointError.unsupportedInstruction(
                    file: reader.file, instruction: "BUILD on anything but a dictionary", offset: opcodeOffset)
            }
            stack.append(values[0])
        case UInt8(ascii: "Q"):  // BINPERSID
            stack.append(try storage(pop()))
        default:
            throw CheckpointError.unsupportedInstruction(
                file: reader.file, instruction: Self.name(of: opcode), offset: opcodeOffset)
        }
    }

    private static func name(of opcode: UInt8) -> String {
        let names: [UInt8: String] = [
            0x81: "NEWOBJ", 0x92: "NEWOBJ_EX", UInt8(ascii: "o"): "OBJ", UInt8(ascii: "i"): "INST",
            0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4", UInt8(ascii: "P"): "PERSID",
        ]
        return names[opcode] ?? "0x" + String(opcode, radix: 16)
    }

    // MARK: - Stack

    func damaged(expected: String, got: String) -> CheckpointError {
        reader.damaged(at: opcodeOffset, expected: expected, got: got)
    }

    /// Values below the last mark belong to whoever set it.
    private var floor: Int { marks.last ?? 0 }

    private func top() throws -> Value {
        guard stack.count > floor, let value = stack.last else {
            throw damaged(expected: "a value", got: "an empty stack")
        }
        return value
    }

    private mutating func pop() throws -> Value {
        let value = try top()
        stack.removeLast()
        return value
    }

    private mutating func pop(_ count: Int) throws -> [Value] {
        guard stack.count - floor >= count else {
            throw damaged(expected: "\(count) values", got: "\(stack.count - floor)")
        }
        defer { stack.removeLast(count) }
        return Array(stack.suffix(count))
    }

    private mutating func popMark() throws -> [Value] {
        guard let mark = marks.popLast() else { throw damaged(expected: "a mark", got: "none") }
        defer { stack.removeSubrange(mark...) }
        return Array(stack[mark...])
    }

    mutating func object(_ kind: Object.Kind, _ items: [Value]) -> Value {
        objects.append(Object(kind: kind, items: items))
        return .object(objects.count - 1)
    }

    /// Counts values that a call copies out of an object.
    mutating func takeCopies(_ count: Int) throws {
        guard count <= copyBudget else {
            throw damaged(expected: "calls that copy at most \(reader.range.count) values", got: "more")
        }
        copyBudget -= count
    }

    private mutating func push(_ kind: Object.Kind, _ items: [Value]) { stack.append(object(kind, items)) }

    private mutating func append(_ items: [Value], to kind: Object.Kind) throws {
        guard case .object(let index) = try top(), objects[index].kind == kind else {
            throw damaged(expected: "a \(kind)", got: "another value")
        }
        objects[index].items.append(contentsOf: items)
    }

    private func pairs(_ items: [Value]) throws -> [Value] {
        guard items.count.isMultiple(of: 2) else { throw damaged(expected: "keys with values", got: "a key without") }
        return items
    }

    private mutating func pushMemo(_ index: Int) throws {
        guard let value = memo[index] else { throw damaged(expected: "a value in memo \(index)", got: "none") }
        stack.append(value)
    }

    private mutating func length32() throws -> Int { try Int(reader.integer(UInt32.self)) }

    private mutating func pushOpaque(_ byteCount: Int) throws {
        try reader.skip(byteCount)
        stack.append(.opaque)
    }

    /// A little-endian integer in two's complement; beyond 64 bits it is of no use here.
    private mutating func pushLong(_ byteCount: Int) throws {
        guard byteCount <= 8 else { return try pushOpaque(byteCount) }
        let bytes = try reader.bytes(byteCount)
        var value = 0
        for (index, byte) in bytes.enumerated() { value |= Int(byte) << (8 * index) }
        let unused = 64 - 8 * byteCount
        stack.append(.integer(byteCount == 0 ? 0 : (value << unused) >> unused))
    }

    private mutating func pushGlobal(_ module: String, _ name: String) throws {
        guard let global = PickleGlobal(module: module, name: name) else {
            throw CheckpointError.forbiddenGlobal(
                file: reader.file, name: "\(module).\(name)", offset: opcodeOffset)
        }
        stack.append(.global(global))
    }

    // MARK: - Storages and tensors

    /// The storage that a persistent id `("storage", type, key, device, count)` names.
    private mutating func storage(_ id: Value) throws -> Value {
        guard let items = items(of: id), items.count >= 5, case .text("storage") = items[0],
            case .global(.storage(let elementType)) = items[1], case .text(let key) = items[2],
            case .integer(let count) = items[4], count >= 0
        else { throw damaged(expected: "(\"storage\", type, key, device, count)", got: "another persistent id") }
        storages.append(Storage(key: key, elementType: elementType, count: count))
        return .storage(storages.count - 1)
    }

    /// Describes a tensor for `_rebuild_tensor_v2(storage, offset, shape, strides, ...)`.
    mutating func tensor(_ arguments: [Value]) throws -> Value {
        guard arguments.count >= 4, case .storage(let storage) = arguments[0],
            case .integer(let offset) = arguments[1], let shape = integers(arguments[2]),
            let strides = integers(arguments[3]), shape.count == strides.count
        else { throw damaged(expected: "storage, offset, shape and strides of a tensor", got: "other arguments") }
        tensors.append(TensorView(storage: storage, offset: offset, shape: shape, strides: strides))
        return .tensor(tensors.count - 1)
    }

    /// The elements of a tuple or list.
    func items(of value: Value) -> [Value]? {
        guard case .object(let index) = value, objects[index].kind != .dictionary else { return nil }
        return objects[index].items
    }

    /// The integers of a tuple or list, of which one more than a shape can have is enough to refuse it: many tensors may
    /// name the same list.
    private func integers(_ value: Value) -> [Int]? {
        guard let items = items(of: value)?.prefix(TensorShape.maximumRank + 1) else { return nil }
        let integers = items.compactMap { if case .integer(let value) = $0 { value } else { nil } }
        return integers.count == items.count ? integers : nil
    }
}
