import Foundation

/// Builds zip archives, good ones and bad ones.
struct Zip {
    struct Entry {
        var name: String
        var contents: [UInt8] = []
        /// Zeros before `contents` that take no room on a disk.
        var hole = 0
        var method: UInt16 = 0
        var flags: UInt16 = 0
        /// What the local header says where it is not to agree with the directory.
        var localName: String?
        var localSize: Int?
        var byteCount: Int { hole + contents.count }
    }

    var entries: [Entry] = []
    /// Sizes and offsets of 64 bits everywhere, as archives beyond 4 GB need.
    var isWide = false
    /// What the end record says where it is not to be right.
    var entryCount: Int?
    var directoryOffset: Int?
    var comment = ""

    /// A file as `torch.save` lays it out.
    static func torch(_ pickle: [UInt8], _ storages: [String: [UInt8]] = [:], byteOrder: String? = "little") -> Zip {
        var zip = Zip()
        zip.entries.append(Entry(name: "archive/data.pkl", contents: pickle))
        if let byteOrder { zip.entries.append(Entry(name: "archive/byteorder", contents: Array(byteOrder.utf8))) }
        for (key, contents) in storages.sorted(by: { $0.key < $1.key }) {
            zip.entries.append(Entry(name: "archive/data/\(key)", contents: contents))
        }
        return zip
    }

    var bytes: [UInt8] {
        var result: [UInt8] = []
        for part in parts { result += [UInt8](repeating: 0, count: part.hole) + part.bytes }
        return result
    }

    /// Writes the archive with holes where `hole` says so.
    func write(to path: String) throws {
        _ = FileManager.default.createFile(atPath: path, contents: nil)
        let file = try FileHandle(forWritingTo: URL(filePath: path))
        var offset = 0
        for part in parts {
            try file.seek(toOffset: UInt64(offset + part.hole))
            try file.write(contentsOf: Data(part.bytes))
            offset += part.hole + part.bytes.count
        }
        try file.close()
    }

    private var parts: [(hole: Int, bytes: [UInt8])] {
        var parts: [(hole: Int, bytes: [UInt8])] = []
        var offset = 0
        var directory: [UInt8] = []
        for entry in entries {
            let header = offset
            let local = localHeader(entry)
            parts.append((0, local))
            parts.append((entry.hole, entry.contents))
            offset += local.count + entry.byteCount
            directory += directoryEntry(entry, at: header)
        }
        parts.append((0, directory + end(directory.count, at: offset)))
        return parts
    }

    private func localHeader(_ entry: Entry) -> [UInt8] {
        let name = Array((entry.localName ?? entry.name).utf8)
        let size = entry.localSize ?? entry.byteCount
        let extra = isWide ? littleEndian(UInt16(1)) + littleEndian(UInt16(16)) + wide(size) + wide(size) : []
        var bytes = littleEndian(UInt32(0x0403_4B50)) + littleEndian(UInt16(45)) + littleEndian(entry.flags)
        bytes += littleEndian(entry.method) + [UInt8](repeating: 0, count: 8)
        bytes += narrow(size) + narrow(size) + littleEndian(UInt16(name.count)) + littleEndian(UInt16(extra.count))
        return bytes + name + extra
    }

    private func directoryEntry(_ entry: Entry, at offset: Int) -> [UInt8] {
        let name = Array(entry.name.utf8)
        let size = wide(entry.byteCount)
        let extra = isWide ? littleEndian(UInt16(1)) + littleEndian(UInt16(24)) + size + size + wide(offset) : []
        var bytes = littleEndian(UInt32(0x0201_4B50)) + littleEndian(UInt16(45)) + littleEndian(UInt16(45))
        bytes += littleEndian(entry.flags) + littleEndian(entry.method) + [UInt8](repeating: 0, count: 8)
        bytes += narrow(entry.byteCount) + narrow(entry.byteCount)
        bytes += littleEndian(UInt16(name.count)) + littleEndian(UInt16(extra.count)) + [UInt8](repeating: 0, count: 10)
        return bytes + narrow(offset) + name + extra
    }

    private func end(_ size: Int, at offset: Int) -> [UInt8] {
        let count = entryCount ?? entries.count
        let start = directoryOffset ?? offset
        var bytes: [UInt8] = []
        if isWide {
            bytes += littleEndian(UInt32(0x0606_4B50)) + wide(44) + littleEndian(UInt32(45 << 16 | 45))
            bytes += [UInt8](repeating: 0, count: 8) + wide(count) + wide(count) + wide(size) + wide(start)
            bytes += littleEndian(UInt32(0x0706_4B50)) + littleEndian(UInt32(0)) + wide(offset + size)
            bytes += littleEndian(UInt32(1))
        }
        let narrowCount = littleEndian(isWide ? UInt16.max : UInt16(count))
        bytes += littleEndian(UInt32(0x0605_4B50)) + [UInt8](repeating: 0, count: 4) + narrowCount + narrowCount
        return bytes + narrow(size) + narrow(start) + littleEndian(UInt16(comment.utf8.count)) + Array(comment.utf8)
    }

    private func narrow(_ value: Int) -> [UInt8] { littleEndian(isWide ? UInt32.max : UInt32(value)) }
    private func wide(_ value: Int) -> [UInt8] { littleEndian(UInt64(value)) }
}
