internal import Foundation
public import Tensors

/// Writes safetensors files.
public enum SafetensorsWriter {
    /// Writes `tensors` and `metadata` to `path`.
    ///
    /// Header keys are sorted; the same arguments give the same bytes. Elements begin at a multiple of 8 bytes and
    /// larger types come first, so every tensor is aligned to its type without gaps. The file is written under a
    /// temporary name in the same directory, flushed to the disk and renamed: under `path` lies either what was there
    /// before or the whole new file.
    /// - Throws: `CheckpointError.unwritable` with the system's reason, or for a tensor called `__metadata__` or one of
    ///   block-quantised elements, which the format does not know.
    public static func write(
        _ tensors: [String: Tensor], metadata: [String: String] = [:], to path: String,
        progress: WeightsProgress.Observer = { _ in }
    ) throws {
        try write(making: tensors.mapValues { PendingTensor($0) }, metadata: metadata, to: path, progress: progress)
    }

    /// Writes tensors that are made one after the other, and otherwise does the same.
    /// - Throws: also `CheckpointError.unwritable` for an element that the type of its tensor cannot hold.
    public static func write(
        making tensors: [String: PendingTensor], metadata: [String: String] = [:], to path: String,
        progress: WeightsProgress.Observer = { _ in }
    ) throws {
        guard tensors[SafetensorsFile.metadataKey] == nil else {
            throw CheckpointError.unwritable(
                path: path, reason: "no tensor may be called \(SafetensorsFile.metadataKey)")
        }
        if let (name, tensor) = tensors.first(where: { $0.value.elementType.isBlockQuantized }) {
            throw CheckpointError.unwritable(
                path: path, reason: "tensor \(name) holds \(tensor.elementType.rawValue), which safetensors cannot hold"
            )
        }
        let placed = tensors.sorted {
            ($1.value.elementType.byteCount, $0.key) < ($0.value.elementType.byteCount, $1.key)
        }
        let header = try header(placed, metadata: metadata)
        let file = try AtomicFile(path: path)
        try file.write { handle in
            try handle.write(contentsOf: header)
            let total = placed.reduce(0) { $0 + $1.value.byteCount }
            var done = 0
            for (name, tensor) in placed {
                try tensor.write(named: name, to: handle, of: path)
                done += tensor.byteCount
                progress(WeightsProgress(.writing, done: done, total: total))
            }
        }
    }

    private struct Entry: Encodable {
        var dtype: String
        var shape: [Int]
        var data_offsets: [Int]
    }

    /// A header member: a tensor's entry or the metadata.
    private enum Member: Encodable {
        case entry(Entry)
        case metadata([String: String])

        func encode(to encoder: any Encoder) throws {
            switch self {
            case .entry(let entry): try entry.encode(to: encoder)
            case .metadata(let metadata): try metadata.encode(to: encoder)
            }
        }
    }

    /// Eight bytes of length and the header in JSON, padded with spaces to a multiple of eight bytes.
    private static func header(
        _ placed: [(key: String, value: PendingTensor)], metadata: [String: String]
    ) throws -> Data {
        var members: [String: Member] = [:]
        if !metadata.isEmpty { members[SafetensorsFile.metadataKey] = .metadata(metadata) }
        var offset = 0
        for (name, tensor) in placed {
            let end = offset + tensor.byteCount
            members[name] = .entry(
                Entry(dtype: tensor.elementType.rawValue, shape: tensor.shape, data_offsets: [offset, end]))
            offset = end
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var json = try encoder.encode(members)
        json.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - json.count % 8) % 8))
        var header = Data((0..<8).map { UInt8(truncatingIfNeeded: json.count >> ($0 * 8)) })
        header.append(json)
        return header
    }
}
