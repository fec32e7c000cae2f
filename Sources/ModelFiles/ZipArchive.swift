internal import Bytes
internal import Tensors

/// The directory of a zip archive whose entries are used in place (PKWARE APPNOTE 6.3.10, ZIP64 included).
///
/// Nothing is decompressed: only entries that are stored as they are can be used, which is how PyTorch writes all of
/// them. Checksums are not verified: that would read gigabytes which may never be used, and PyTorch can be told to
/// leave them out.
struct ZipArchive {
    /// What the central directory says about one entry.
    struct Entry {
        var name: String
        var method: UInt16
        var flags: UInt16
        var storedByteCount: Int
        var byteCount: Int
        var headerOffset: Int
    }

    private static let maximumNameByteCount = 4096

    let file: MemoryMappedFile
    /// The entries by name.
    let entries: [String: Entry]
    /// Where the central directory begins: no entry's data may reach beyond.
    private let directoryOffset: Int

    /// Reads the central directory.
    init(_ file: MemoryMappedFile) throws {
        self.file = file
        let directory = try Self.locateDirectory(of: file)
        directoryOffset = directory.range.lowerBound
        // An entry takes at least 46 bytes, so the count cannot make us allocate more than the file is worth.
        guard directory.count <= directory.range.count / 46 else {
            throw CheckpointError.damaged(
                file: file.path, part: "zip directory", offset: directory.range.lowerBound,
                expected: "at most \(directory.range.count / 46) entries in \(directory.range.count) bytes",
                got: "\(directory.count)")
        }
        var reader = try FileReader(file, part: "zip directory", range: directory.range)
        var entries: [String: Entry] = [:]
        for _ in 0..<directory.count {
            let start = reader.position
            let entry = try Self.entry(&reader)
            guard entries.updateValue(entry, forKey: entry.name) == nil else {
                throw reader.damaged(at: start, expected: "names that differ", got: "\(entry.name) twice")
            }
        }
        self.entries = entries
    }

    /// Where the bytes of an entry lie in the file.
    func range(of entry: Entry) throws -> Range<Int> {
        var reader = try FileReader(file, part: "zip entry \(entry.name)", range: 0..<directoryOffset)
        func expect<Value: Equatable>(_ got: Value, _ expected: Value, _ what: String) throws {
            guard got == expected else {
                throw reader.damaged(at: entry.headerOffset, expected: "\(what) \(expected)", got: "\(got)")
            }
        }
        guard entry.method == 0 else {
            throw CheckpointError.unsupportedFormat(
                file: file.path, found: "a zip archive with the compressed entry \(entry.name)",
                advice: "give the file as torch.save wrote it, not packed again")
        }
        try expect(entry.flags & 1, 0, "encryption flag")
        try expect(entry.storedByteCount, entry.byteCount, "as many stored bytes as bytes,")

        try reader.skip(entry.headerOffset)
        try expect(reader.integer(UInt32.self), 0x0403_4B50, "signature")
        try reader.skip(2)
        let flags = try reader.integer(UInt16.self)
        try expect(reader.integer(UInt16.self), entry.method, "compression method")
        try expect(flags & 1, 0, "encryption flag")
        try reader.skip(8)
        let stored32 = try reader.integer(UInt32.self)
        let size32 = try reader.integer(UInt32.self)
        let nameLength = try Int(reader.integer(UInt16.self))
        let extraLength = try Int(reader.integer(UInt16.self))
        try expect(reader.text(nameLength), entry.name, "name")
        var sizes = Sizes(byteCount: size32, storedByteCount: stored32, headerOffset: 0)
        try sizes.widen(&reader, extraLength)
        // With bit 3 set the sizes follow the data and may be zero here.
        if flags & 8 == 0 || sizes.byteCount != 0 || sizes.storedByteCount != 0 {
            try expect(sizes.byteCount, entry.byteCount, "size")
            try expect(sizes.storedByteCount, entry.storedByteCount, "stored size")
        }
        let start = reader.position
        try reader.skip(entry.byteCount)
        return start..<reader.position
    }

    // MARK: - Central directory

    private static func entry(_ reader: inout FileReader) throws -> Entry {
        let start = reader.position
        guard try reader.integer(UInt32.self) == 0x0201_4B50 else {
            throw reader.damaged(at: start, expected: "the signature of an entry", got: "other bytes")
        }
        try reader.skip(4)
        let flags = try reader.integer(UInt16.self)
        let method = try reader.integer(UInt16.self)
        try reader.skip(8)
        let stored32 = try reader.integer(UInt32.self)
        let size32 = try reader.integer(UInt32.self)
        let nameLength = try Int(reader.integer(UInt16.self))
        let extraLength = try Int(reader.integer(UInt16.self))
        let commentLength = try Int(reader.integer(UInt16.self))
        let disk = try reader.integer(UInt16.self)
        try reader.skip(6)
        let offset32 = try reader.integer(UInt32.self)
        guard disk == 0 || disk == 0xFFFF else {
            throw reader.damaged(at: start, expected: "an archive in one part", got: "part \(disk)")
        }
        guard (1...maximumNameByteCount).contains(nameLength) else {
            throw reader.damaged(
                at: start, expected: "a name of 1 to \(maximumNameByteCount) bytes", got: "\(nameLength) bytes")
        }
        let name = try reader.text(nameLength)
        var sizes = Sizes(byteCount: size32, storedByteCount: stored32, headerOffset: offset32)
        try sizes.widen(&reader, extraLength)
        try reader.skip(commentLength)
        return Entry(
            name: name, method: method, flags: flags, storedByteCount: sizes.storedByteCount,
            byteCount: sizes.byteCount, headerOffset: sizes.headerOffset)
    }

    /// Sizes of 32 bits that an extra field replaces by 64 bits where they do not fit.
    private struct Sizes {
        var byteCount: Int
        var storedByteCount: Int
        var headerOffset: Int

        init(byteCount: UInt32, storedByteCount: UInt32, headerOffset: UInt32) {
            self.byteCount = Int(byteCount)
            self.storedByteCount = Int(storedByteCount)
            self.headerOffset = Int(headerOffset)
        }

        /// Reads the extra fields, `length` bytes, and takes from the ZIP64 field what is missing.
        mutating func widen(_ reader: inout FileReader, _ length: Int) throws {
            let end = reader.position + length
            guard length <= reader.remaining else { return try reader.skip(length) }
            while end - reader.position >= 4 {
                let id = try reader.integer(UInt16.self)
                let size = try Int(reader.integer(UInt16.self))
                guard size <= end - reader.position else {
                    throw reader.damaged(
                        expected: "an extra field of at most \(end - reader.position) bytes", got: "\(size)")
                }
                var field = try FileReader(reader.source, part: reader.part, from: reader.position, count: size)
                if id == 1 {
                    for size in [\Sizes.byteCount, \.storedByteCount, \.headerOffset]
                    where self[keyPath: size] == 0xFFFF_FFFF {
                        self[keyPath: size] = try field.length64()
                    }
                }
                try reader.skip(size)
            }
            // Some writers pad with fewer bytes than a field has.
            try reader.skip(end - reader.position)
        }
    }

    /// Finds the range of the central directory and the number of its entries through the record at the file's end.
    private static func locateDirectory(of file: MemoryMappedFile) throws -> (range: Range<Int>, count: Int) {
        let part = "end of the zip archive"
        guard let end = endRecord(of: file) else {
            throw CheckpointError.damaged(
                file: file.path, part: part, offset: max(0, file.byteCount - 22), expected: "an end record",
                got: "none, as in a file that was not fetched completely")
        }
        var reader = try FileReader(file, part: part, from: end, count: 22)
        try reader.skip(4)
        let disk = try reader.integer(UInt16.self)
        let directoryDisk = try reader.integer(UInt16.self)
        try reader.skip(2)
        var count = try Int(reader.integer(UInt16.self))
        var size = try Int(reader.integer(UInt32.self))
        var offset = try Int(reader.integer(UInt32.self))
        var limit = end

        // The record of 64 bits is used whenever it is there: PyTorch may write it for small archives, too.
        if end >= 20, file.littleEndianInteger(at: end - 20, as: UInt32.self) == 0x0706_4B50 {
            var locator = try FileReader(file, part: part, from: end - 20, count: 20)
            try locator.skip(8)
            let wideOffset = try locator.length64()
            var wide = try FileReader(file, part: part, from: wideOffset, count: 56)
            guard try wide.integer(UInt32.self) == 0x0606_4B50, wideOffset <= end - 76 else {
                throw wide.damaged(at: wideOffset, expected: "the end record of 64 bits", got: "other bytes")
            }
            try wide.skip(28)
            count = try wide.length64()
            size = try wide.length64()
            offset = try wide.length64()
            limit = wideOffset
        } else if (disk, directoryDisk) != (0, 0) {
            throw reader.damaged(at: end, expected: "an archive in one part", got: "several")
        }
        guard offset <= limit, size <= limit - offset else {
            throw CheckpointError.outOfBounds(
                file: file.path, part: part, offset: offset, wanted: size, available: max(0, limit - offset))
        }
        return (offset..<offset + size, count)
    }

    /// The last place where an end record with a comment up to the end of the file can begin.
    private static func endRecord(of file: MemoryMappedFile) -> Int? {
        var offset = file.byteCount - 22
        let first = max(0, offset - 0xFFFF)
        while offset >= first {
            if file.littleEndianInteger(at: offset, as: UInt32.self) == 0x0605_4B50,
                Int(file.littleEndianInteger(at: offset + 20, as: UInt16.self)) == file.byteCount - 22 - offset
            {
                return offset
            }
            offset -= 1
        }
        return nil
    }
}
