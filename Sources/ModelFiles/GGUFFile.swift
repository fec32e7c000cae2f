internal import Bytes
public import Tensors

/// A GGUF file of version 2 or 3, memory-mapped, its tensors used in place.
///
/// The format (github.com/ggml-org/ggml, docs/gguf.md): magic and version; the numbers of tensors and of metadata
/// values; the values; a description of every tensor; the elements, each tensor's at a multiple of the alignment.
public struct GGUFFile: Sendable {
    /// Where the file lies.
    public let path: String
    /// Version of the format.
    public let version: Int
    /// The metadata by key.
    public let metadata: [String: GGUFValue]
    /// The tensors by name. Shapes are row-major, `[outer, ..., inner]`: the reverse of the order in the file.
    public let tensors: [String: Tensor]

    /// `general.architecture` of a file that holds tensors alone, under the names of the `config.json` beside it: what
    /// safetensors is for plain types. A name of ours, which llama.cpp refuses.
    package static let tensorsAlone = "vlm-tensors"
    /// Whether the file holds tensors alone.
    var holdsTensorsAlone: Bool { metadata["general.architecture"]?.string == Self.tensorsAlone }

    static let magic = Array("GGUF".utf8)
    static let alignmentKey = "general.alignment"
    static let defaultAlignment = 32
    /// As many dimensions as ggml has.
    static let maximumRank = 4
    /// Arrays within arrays; no published file has any.
    static let maximumDepth = 4

    /// Maps the file at `path` and checks all of its header; elements are read when they are used.
    /// - Throws: `CheckpointError` with the file, and the tensor or offset, at which the file breaks the format.
    public init(path: String) throws {
        try self.init(MemoryMappedFile.open(path))
    }

    /// Reads bytes that stand for a file.
    package init(_ file: MemoryMappedFile) throws {
        try WeightsFormat.gguf.check(file)
        var reader = try FileReader(file, part: "GGUF header")
        try reader.skip(Self.magic.count)
        version = try Self.version(&reader)
        let tensorCount = try reader.count(leastByteCount: 24)
        let valueCount = try reader.count(leastByteCount: 13)

        var metadata: [String: GGUFValue] = [:]
        metadata.reserveCapacity(valueCount)
        for _ in 0..<valueCount {
            let start = reader.position
            let key = try reader.string()
            guard metadata.updateValue(try reader.value(), forKey: key) == nil else {
                throw reader.damaged(at: start, expected: "every key once", got: "\(key) twice")
            }
        }
        let alignment = try Self.alignment(metadata, reader)

        var entries: [Entry] = []
        entries.reserveCapacity(tensorCount)
        var names: Set<String> = []
        for _ in 0..<tensorCount {
            let entry = try Entry(&reader, alignment: alignment)
            guard names.insert(entry.name).inserted else {
                throw CheckpointError.duplicateTensor(name: entry.name, files: [file.path])
            }
            entries.append(entry)
        }

        let (dataStart, overflow) = reader.position.roundedUp(to: alignment)
        let available = overflow ? 0 : max(0, file.byteCount - dataStart)
        try Self.check(&entries, file: file.path, available: available)
        var tensors: [String: Tensor] = [:]
        tensors.reserveCapacity(entries.count)
        for entry in entries {
            tensors[entry.name] =
                entry.byteCount == 0
                ? Tensor(copying: [], shape: entry.shape, elementType: entry.elementType)
                : try Tensor(
                    named: entry.name, mapping: file, at: dataStart + entry.offset, shape: entry.shape,
                    elementType: entry.elementType)
        }
        self.path = file.path
        self.metadata = metadata
        self.tensors = tensors
    }

    private static func version(_ reader: inout FileReader) throws -> Int {
        let version = try reader.integer(UInt32.self)
        guard version == 2 || version == 3 else {
            let found =
                version.byteSwapped <= 3 ? "a big-endian GGUF file" : "a GGUF file of version \(version)"
            throw CheckpointError.unsupportedFormat(
                file: reader.file, found: found,
                advice: "convert it to little-endian GGUF of version 3 with a current llama.cpp")
        }
        return Int(version)
    }

    private static func alignment(_ metadata: [String: GGUFValue], _ reader: FileReader) throws -> Int {
        guard let value = metadata[alignmentKey] else { return defaultAlignment }
        guard let alignment = value.integer, (8...1 << 20).contains(alignment), alignment.nonzeroBitCount == 1 else {
            throw CheckpointError.unexpectedValue(
                file: reader.file, key: alignmentKey, expected: "a power of two from 8 to \(1 << 20)",
                got: value.integer.map(String.init) ?? value.kind)
        }
        return alignment
    }

    /// Sorts entries by their place in the file and checks that they lie in it without overlap.
    private static func check(_ entries: inout [Entry], file: String, available: Int) throws {
        entries.sort { ($0.offset, $0.byteCount, $0.name) < ($1.offset, $1.byteCount, $1.name) }
        var end = 0
        var last = ""
        for entry in entries {
            let (entryEnd, overflow) = entry.offset.addingReportingOverflow(entry.byteCount)
            guard !overflow, entryEnd <= available else {
                throw CheckpointError.tensorOutOfBounds(
                    file: file, tensor: entry.name, begin: entry.offset, end: overflow ? .max : entryEnd,
                    available: available)
            }
            guard entry.offset >= end else {
                throw CheckpointError.overlappingTensors(file: file, first: last, second: entry.name)
            }
            if entry.byteCount > 0 { (end, last) = (entryEnd, entry.name) }
        }
    }
}

extension GGUFFile {
    /// What the header says about one tensor.
    private struct Entry {
        var name: String
        var shape: [Int]
        var elementType: ElementType
        /// From the beginning of the elements.
        var offset: Int
        var byteCount: Int

        init(_ reader: inout FileReader, alignment: Int) throws {
            let file = reader.file
            name = try reader.string()
            let rankOffset = reader.position
            let rank = try reader.integer(UInt32.self)
            guard rank <= maximumRank else {
                throw reader.damaged(
                    at: rankOffset, expected: "at most \(maximumRank) dimensions for tensor \(name)", got: "\(rank)")
            }
            var extents: [Int] = []
            for _ in 0..<rank { extents.append(try reader.length64()) }
            shape = extents.reversed()
            let number = try reader.integer(UInt32.self)
            guard let elementType = GGUFTensorType.elementType(number) else {
                throw CheckpointError.unsupportedElementType(
                    file: file, tensor: name, type: GGUFTensorType.name(number))
            }
            self.elementType = elementType
            byteCount = try TensorShape.byteCount(shape, elementType, file: file, tensor: name)
            let offsetOffset = reader.position
            offset = try reader.length64()
            guard offset.isMultiple(of: alignment) else {
                throw reader.damaged(
                    at: offsetOffset, expected: "tensor \(name) at a multiple of \(alignment)", got: "\(offset)")
            }
        }
    }
}

// MARK: - Values

extension ByteReader<MemoryMappedFile, CheckpointError> {
    /// A number of things that take so many bytes each, checked against what is left.
    fileprivate mutating func count(leastByteCount: Int) throws -> Int {
        let start = position
        let count = try length64()
        guard count <= remaining / leastByteCount else {
            throw damaged(
                at: start, expected: "a count of at most \(remaining / leastByteCount), for which there are bytes",
                got: "\(count)")
        }
        return count
    }

    fileprivate mutating func string() throws -> String { try text(length64()) }

    fileprivate mutating func value() throws -> GGUFValue {
        switch try valueType() {
        case .uint8: .uint8(try integer())
        case .int8: .int8(try integer())
        case .uint16: .uint16(try integer())
        case .int16: .int16(try integer())
        case .uint32: .uint32(try integer())
        case .int32: .int32(try integer())
        case .uint64: .uint64(try integer())
        case .int64: .int64(try integer())
        case .float32: .float32(Float(bitPattern: try integer()))
        case .float64: .float64(Double(bitPattern: try integer()))
        case .bool: .bool(try bool())
        case .string: .string(try string())
        case .array: .array(try array(depth: 1))
        }
    }

    private mutating func valueType() throws -> GGUFValueType {
        let start = position
        let number = try integer(UInt32.self)
        guard let type = GGUFValueType(rawValue: number) else {
            throw damaged(at: start, expected: "the type of a value, 0 to 12", got: "\(number)")
        }
        return type
    }

    private mutating func bool() throws -> Bool {
        let byte = try integer(UInt8.self)
        guard byte <= 1 else { throw damaged(at: position - 1, expected: "a Boolean, 0 or 1", got: "\(byte)") }
        return byte == 1
    }

    private mutating func array(depth: Int) throws -> GGUFArray {
        guard depth <= GGUFFile.maximumDepth else {
            throw damaged(expected: "arrays at most \(GGUFFile.maximumDepth) deep", got: "deeper ones")
        }
        let type = try valueType()
        let count = try count(leastByteCount: type.leastByteCount)
        return switch type {
        case .uint8: .uint8(try bytes(count))
        case .int8: .int8(try elements(count) { try $0.integer() })
        case .uint16: .uint16(try elements(count) { try $0.integer() })
        case .int16: .int16(try elements(count) { try $0.integer() })
        case .uint32: .uint32(try elements(count) { try $0.integer() })
        case .int32: .int32(try elements(count) { try $0.integer() })
        case .uint64: .uint64(try elements(count) { try $0.integer() })
        case .int64: .int64(try elements(count) { try $0.integer() })
        case .float32: .float32(try elements(count) { Float(bitPattern: try $0.integer()) })
        case .float64: .float64(try elements(count) { Double(bitPattern: try $0.integer()) })
        case .bool: .bool(try elements(count) { try $0.bool() })
        case .string: .string(try elements(count) { try $0.string() })
        case .array: .array(try elements(count) { try $0.array(depth: depth + 1) })
        }
    }

    private mutating func elements<Element>(
        _ count: Int, _ read: (inout Self) throws -> Element
    ) throws -> [Element] {
        var elements: [Element] = []
        elements.reserveCapacity(count)
        for _ in 0..<count { elements.append(try read(&self)) }
        return elements
    }
}

extension Int {
    /// The least multiple of `alignment` that is not less; whether it cannot be counted.
    func roundedUp(to alignment: Int) -> (partialValue: Int, overflow: Bool) {
        let (sum, overflow) = addingReportingOverflow(alignment - 1)
        return (sum / alignment * alignment, overflow)
    }
}
