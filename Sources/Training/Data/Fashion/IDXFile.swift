/// An array of bytes in the IDX format of MNIST, packed by gzip: a magic number, the extents, the elements.
///
/// Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", section on file formats.
struct IDXFile: Sendable {
    /// The extents, outermost first.
    let shape: [Int]
    /// The elements in order.
    let bytes: [UInt8]

    /// Reads a file that must have as many extents as `shape`, and those that are not nil; nothing is more than a million.
    ///
    /// - Throws: `DataError.unreadable` or `.damaged`.
    init(contentsOf path: String, shape expected: [Int?]) throws {
        let most = expected.reduce(1) { $0 * ($1 ?? 1_000_000) }
        try self.init(GzipFile.bytes(at: path, limit: most + 4 + 4 * expected.count), path: path, shape: expected)
    }

    init(_ file: [UInt8], path: String, shape expected: [Int?]) throws {
        func damaged(_ part: String, _ expected: String, _ got: String) -> DataError {
            .damaged(file: path, part: part, expected: expected, got: got)
        }
        let header = 4 + 4 * expected.count
        guard file.count >= header else {
            throw damaged("the header", "\(header) bytes", "a file of \(file.count)")
        }
        guard file[0] == 0, file[1] == 0, file[2] == 8, file[3] == UInt8(expected.count) else {
            throw damaged(
                "the magic number", "0 0 8 \(expected.count)", file[..<4].map(String.init).joined(separator: " "))
        }
        shape = expected.indices.map { index in
            file[(4 + 4 * index)..<(8 + 4 * index)].reduce(0) { $0 << 8 | Int($1) }
        }
        for (extent, wanted) in zip(shape, expected) {
            guard extent > 0, extent <= 1_000_000, wanted == nil || wanted == extent else {
                throw damaged(
                    "the extents", expected.map { $0.map(String.init) ?? "any" }.joined(separator: " x "), "\(shape)")
            }
        }
        let count = shape.reduce(1, *)
        guard file.count - header == count else {
            throw damaged("the elements", "\(count) bytes", "\(file.count - header)")
        }
        bytes = Array(file[header...])
    }
}
