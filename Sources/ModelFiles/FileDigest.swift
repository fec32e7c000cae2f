internal import Foundation
internal import Tensors

/// The size and the SHA-256 of a file.
public struct FileDigest: Sendable, Equatable, Codable {
    /// Size of the file.
    public var bytes: Int
    /// SHA-256 in lower-case hexadecimal.
    public var sha256: String

    /// A digest that was recorded.
    public init(bytes: Int, sha256: String) {
        self.bytes = bytes
        self.sha256 = sha256
    }

    /// Reads the whole file.
    /// - Throws: `CheckpointError.unreadable`.
    /// - Complexity: O(bytes), about a second for 2 GB that are in memory already.
    public init(of path: String) throws {
        let file = try MemoryMappedFile.open(path)
        bytes = file.byteCount
        let digest = SHA256()
        file.withBytes { $0.withUnsafeBytes { digest.update($0) } }
        sha256 = digest.hexadecimal()
    }
}

/// Digests of files that were computed before, so that a model of gigabytes is not read twice at every start.
///
/// An entry holds as long as the file's size and time of modification do. The list lies in the user's cache directory;
/// without it everything is computed again.
public struct KnownDigests {
    private struct Entry: Codable {
        var bytes: Int
        var modified: Double
        var sha256: String
    }

    private var entries: [String: Entry]
    private let file = UserCacheFile("digests.json")

    /// The user's list, empty if there is none that can be read.
    public init() {
        entries = file.read([String: Entry].self) ?? [:]
    }

    /// The digest of a file, computed only if the file has changed since.
    /// - Throws: `CheckpointError.unreadable`.
    public mutating func digest(of path: String) throws -> FileDigest {
        let key = URL(filePath: path).standardizedFileURL.path
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        let modified = (attributes?[.modificationDate] as? Date)?.timeIntervalSince1970
        let bytes = (attributes?[.size] as? NSNumber)?.intValue
        if let entry = entries[key], entry.bytes == bytes, entry.modified == modified {
            return FileDigest(bytes: entry.bytes, sha256: entry.sha256)
        }
        let digest = try FileDigest(of: path)
        if let modified {
            entries[key] = Entry(bytes: digest.bytes, modified: modified, sha256: digest.sha256)
            file.write(entries)
        }
        return digest
    }
}
