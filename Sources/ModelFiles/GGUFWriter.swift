internal import Foundation
public import Tensors

/// Writes GGUF files of version 3.
public enum GGUFWriter {
    /// Writes `tensors`, in the types they are stored in, and `metadata` to `path`.
    ///
    /// Keys and tensors are sorted by name; the same arguments give the same bytes. Every tensor begins at a multiple of
    /// `general.alignment`, 32 unless the metadata says otherwise, and so does the end of the file. The file is written
    /// under a temporary name in the same directory, flushed to the disk and renamed: under `path` lies either what was
    /// there before or the whole new file.
    /// - Throws: `CheckpointError.unwritable` with the system's reason, or for a tensor or a value that no reader takes:
    ///   more than four dimensions, a type GGUF does not have, a name of more than 63 bytes, an alignment that is not a
    ///   power of two of 8 or more as `uint32`.
    public static func write(
        _ tensors: [String: Tensor], metadata: [String: GGUFValue], to path: String,
        progress: WeightsProgress.Observer = { _ in }
    ) throws {
        try write(making: tensors.mapValues { PendingTensor($0) }, metadata: metadata, to: path, progress: progress)
    }

    /// Writes tensors that are made one after the other, and otherwise does the same.
    /// - Throws: also `CheckpointError.unwritable` for an element that the type of its tensor cannot hold.
    public static func write(
        making tensors: [String: PendingTensor], metadata: [String: GGUFValue], to path: String,
        progress: WeightsProgress.Observer = { _ in }
    ) throws {
        func refusal(_ reason: String) -> CheckpointError { .unwritable(path: path, reason: reason) }

        var alignment = GGUFFile.defaultAlignment
        if let value = metadata[GGUFFile.alignmentKey] {
            guard case .uint32(let given) = value, (8...1 << 20).contains(given), given.nonzeroBitCount == 1 else {
                throw refusal("\(GGUFFile.alignmentKey) has to be a power of two from 8 to \(1 << 20), as uint32")
            }
            alignment = Int(given)
        }

        var header = GGUFBytes()
        header.append(GGUFFile.magic)
        header.append(UInt32(3))
        header.append(UInt64(tensors.count))
        header.append(UInt64(metadata.count))
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            guard (1...65535).contains(key.utf8.count) else {
                throw refusal("key \"\(key)\" has to have 1 to 65535 bytes")
            }
            header.append(key)
            header.append(value)
        }
        let placed = tensors.sorted { $0.key < $1.key }
        var offset = 0
        for (name, tensor) in placed {
            guard (1...63).contains(name.utf8.count) else {
                throw refusal("the name of tensor \"\(name)\" has to have 1 to 63 bytes")
            }
            guard tensor.shape.count <= GGUFFile.maximumRank else {
                throw refusal(
                    "tensor \(name) has \(tensor.shape.count) dimensions; GGUF has at most \(GGUFFile.maximumRank)")
            }
            guard let type = GGUFTensorType.number(tensor.elementType) else {
                throw refusal("tensor \(name) holds \(tensor.elementType.rawValue), which GGUF does not have")
            }
            header.append(name)
            header.append(UInt32(tensor.shape.count))
            for extent in tensor.shape.reversed() { header.append(UInt64(extent)) }
            header.append(type)
            header.append(UInt64(offset))
            offset = (offset + tensor.byteCount).roundedUp(to: alignment).partialValue
        }
        header.pad(to: alignment)

        let file = try AtomicFile(path: path)
        let start = header.bytes
        try file.write { handle in
            try handle.write(contentsOf: Data(start))
            let total = placed.reduce(0) { $0 + $1.value.byteCount }
            var done = 0
            for (name, tensor) in placed {
                try tensor.write(named: name, to: handle, of: path)
                let padding = tensor.byteCount.roundedUp(to: alignment).partialValue - tensor.byteCount
                try handle.write(contentsOf: Data(count: padding))
                done += tensor.byteCount
                progress(WeightsProgress(.writing, done: done, total: total))
            }
        }
    }
}

/// The beginning of a GGUF file in memory.
private struct GGUFBytes {
    var bytes: [UInt8] = []

    mutating func append(_ more: [UInt8]) { bytes += more }

    mutating func append(_ value: some FixedWidthInteger) {
        for shift in stride(from: 0, to: value.bitWidth, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    mutating func append(_ value: Float) { append(value.bitPattern) }

    mutating func append(_ value: Double) { append(value.bitPattern) }

    mutating func append(_ value: Bool) { append(UInt8(value ? 1 : 0)) }

    mutating func append(_ text: String) {
        append(UInt64(text.utf8.count))
        bytes += text.utf8
    }

    mutating func append(_ value: GGUFValue) {
        append(value.type.rawValue)
        switch value {
        case .uint8(let value): append(value)
        case .int8(let value): append(value)
        case .uint16(let value): append(value)
        case .int16(let value): append(value)
        case .uint32(let value): append(value)
        case .int32(let value): append(value)
        case .uint64(let value): append(value)
        case .int64(let value): append(value)
        case .float32(let value): append(value)
        case .float64(let value): append(value)
        case .bool(let value): append(value)
        case .string(let value): append(value)
        case .array(let array): append(array)
        }
    }

    private mutating func append(_ array: GGUFArray) {
        append(array.elementType.rawValue)
        switch array {
        case .uint8(let values): append(values) { $0.append($1) }
        case .int8(let values): append(values) { $0.append($1) }
        case .uint16(let values): append(values) { $0.append($1) }
        case .int16(let values): append(values) { $0.append($1) }
        case .uint32(let values): append(values) { $0.append($1) }
        case .int32(let values): append(values) { $0.append($1) }
        case .uint64(let values): append(values) { $0.append($1) }
        case .int64(let values): append(values) { $0.append($1) }
        case .float32(let values): append(values) { $0.append($1) }
        case .float64(let values): append(values) { $0.append($1) }
        case .bool(let values): append(values) { $0.append($1) }
        case .string(let values): append(values) { $0.append($1) }
        case .array(let values): append(values) { $0.append($1) }
        }
    }

    private mutating func append<Element>(_ values: [Element], _ write: (inout GGUFBytes, Element) -> Void) {
        append(UInt64(values.count))
        for value in values { write(&self, value) }
    }

    /// Zeros up to a multiple of `alignment`.
    mutating func pad(to alignment: Int) {
        bytes += [UInt8](repeating: 0, count: bytes.count.roundedUp(to: alignment).partialValue - bytes.count)
    }
}
