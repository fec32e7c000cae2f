internal import Bytes
public import Tensors

/// A safetensors file, memory-mapped, its tensors used in place.
///
/// The format (github.com/huggingface/safetensors): eight bytes with the length of the header, the header in JSON, the
/// elements. As in its reference implementation, every byte after the header must belong to exactly one tensor.
public struct SafetensorsFile: Sendable {
    /// The tensors by name.
    public let tensors: [String: Tensor]
    /// The texts under `__metadata__`.
    public let metadata: [String: String]

    static let maximumHeaderByteCount = 100_000_000
    static let metadataKey = "__metadata__"

    /// Maps the file at `path` and checks all of its header; elements are read when they are used.
    /// - Throws: `CheckpointError` with the file, and the tensor or offset, at which the file breaks the format.
    public init(path: String) throws {
        try self.init(MemoryMappedFile.open(path))
    }

    /// Reads bytes that stand for a file.
    package init(_ file: MemoryMappedFile) throws {
        try WeightsFormat.safetensors.check(file)
        var reader = try FileReader(file, part: "safetensors header")
        let length = try reader.length64()
        guard length <= Self.maximumHeaderByteCount else {
            throw reader.damaged(
                at: 0, expected: "a header of at most \(Self.maximumHeaderByteCount) bytes", got: "\(length)")
        }
        let text = try reader.bytes(length)
        guard text.first == UInt8(ascii: "{") else {
            throw reader.damaged(at: 8, expected: "'{'", got: text.first.map { "byte \($0)" } ?? "an empty header")
        }
        let header = try Self.members(of: text, file: file.path)

        let dataStart = reader.position
        var metadata: [String: String] = [:]
        var entries: [Entry] = []
        for (name, value) in header {
            if name == Self.metadataKey {
                metadata = try Self.texts(value, file: file.path)
            } else {
                entries.append(try Entry(name, value, file: file.path, available: reader.remaining))
            }
        }
        try Self.checkCoverage(&entries, file: file.path, byteCount: reader.remaining)

        var tensors: [String: Tensor] = [:]
        tensors.reserveCapacity(entries.count)
        for entry in entries {
            tensors[entry.name] = try Tensor(
                named: entry.name, mapping: file, at: dataStart + entry.range.lowerBound, shape: entry.shape,
                elementType: entry.elementType)
        }
        self.tensors = tensors
        self.metadata = metadata
    }

    private static func members(of text: [UInt8], file: String) throws -> [String: JSONValue] {
        let value: JSONValue
        do {
            value = try JSONParser.value(of: text)
        } catch {
            if let (key, depth) = error.duplicate, depth == 1, key != metadataKey {
                throw CheckpointError.duplicateTensor(name: key, files: [file])
            }
            throw CheckpointError.damaged(
                file: file, part: "safetensors header", offset: 8 + error.offset, expected: "JSON", got: error.reason)
        }
        // The first byte is a brace, so the value is an object.
        return value.object ?? [:]
    }

    private static func texts(_ value: JSONValue, file: String) throws -> [String: String] {
        guard let members = value.object else {
            throw CheckpointError.unexpectedValue(file: file, key: metadataKey, expected: "an object", got: value.kind)
        }
        return try Dictionary(
            uniqueKeysWithValues: members.map { key, value in
                guard let text = value.string else {
                    throw CheckpointError.unexpectedValue(
                        file: file, key: "\(metadataKey).\(key)", expected: "a string", got: value.kind)
                }
                return (key, text)
            })
    }

    /// Sorts entries by their place in the file and checks that they fill it without overlap.
    private static func checkCoverage(_ entries: inout [Entry], file: String, byteCount: Int) throws {
        entries.sort {
            ($0.range.lowerBound, $0.range.upperBound, $0.name) < ($1.range.lowerBound, $1.range.upperBound, $1.name)
        }
        var end = 0
        var last = ""
        for entry in entries {
            if entry.range.lowerBound < end {
                throw CheckpointError.overlappingTensors(file: file, first: last, second: entry.name)
            }
            if entry.range.lowerBound > end {
                throw CheckpointError.unusedBytes(file: file, begin: end, end: entry.range.lowerBound)
            }
            end = entry.range.upperBound
            last = entry.name
        }
        if end < byteCount { throw CheckpointError.unusedBytes(file: file, begin: end, end: byteCount) }
    }
}

extension SafetensorsFile {
    /// What the header says about one tensor.
    private struct Entry {
        var name: String
        var elementType: ElementType
        var shape: [Int]
        /// Bytes after the header.
        var range: Range<Int>

        init(_ name: String, _ value: JSONValue, file: String, available: Int) throws {
            func member<Value>(
                _ key: String, _ expected: String, _ read: (JSONValue) -> Value?
            ) throws -> Value {
                let member = value[key]
                guard let result = member.flatMap(read) else {
                    throw CheckpointError.unexpectedValue(
                        file: file, key: "\(name).\(key)", expected: expected, got: member?.kind ?? "missing")
                }
                return result
            }
            func integers(_ value: JSONValue) -> [Int]? {
                guard let elements = value.array else { return nil }
                let integers = elements.compactMap { if case .integer(let value) = $0 { value } else { nil } }
                return integers.count == elements.count ? integers : nil
            }

            let dtype = try member("dtype", "a string", \.string)
            guard let elementType = ElementType(rawValue: dtype), !elementType.isBlockQuantized else {
                throw CheckpointError.unsupportedElementType(file: file, tensor: name, type: dtype)
            }
            let shape = try member("shape", "an array of integers", integers)
            let offsets = try member("data_offsets", "two integers") { value in
                integers(value).flatMap { $0.count == 2 ? ($0[0], $0[1]) : nil }
            }
            let byteCount = try TensorShape.byteCount(shape, elementType, file: file, tensor: name)
            guard offsets.0 >= 0, offsets.0 <= offsets.1, offsets.1 <= available else {
                throw CheckpointError.tensorOutOfBounds(
                    file: file, tensor: name, begin: offsets.0, end: offsets.1, available: available)
            }
            guard offsets.1 - offsets.0 == byteCount else {
                throw CheckpointError.tensorByteCount(
                    file: file, tensor: name, expected: byteCount, got: offsets.1 - offsets.0)
            }
            self.name = name
            self.elementType = elementType
            self.shape = shape
            self.range = offsets.0..<offsets.1
        }
    }
}
