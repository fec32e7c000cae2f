import Foundation

/// A file's bytes mapped read-only into memory.
///
/// Invariant that makes `@unchecked Sendable` true: the mapping is read-only and lasts until `deinit`. A file that
/// another program shortens while it is mapped raises SIGBUS on access, as with every mapping.
public final class MemoryMappedFile: @unchecked Sendable {
    let base: UnsafeRawPointer
    /// Whether the bytes are a copy rather than a mapping.
    private let isCopy: Bool
    /// Size of the file in bytes.
    public let byteCount: Int
    /// Where the file lies.
    public let path: String

    /// Maps the file at `path`.
    /// - Throws: `TensorError.unreadable` with the system's reason.
    public init(path: String) throws {
        // O_NONBLOCK: opening a named pipe must fail the test below, not wait for a writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw TensorError.unreadable(path: path, reason: Self.lastError()) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw TensorError.unreadable(path: path, reason: Self.lastError())
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw TensorError.unreadable(path: path, reason: "not a regular file")
        }
        self.path = path
        self.byteCount = Int(status.st_size)
        if byteCount == 0 {
            // An empty mapping is not allowed; no byte of this address is ever read.
            self.base = UnsafeRawPointer(UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1))
            self.isCopy = true
            return
        }
        guard let address = mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
            throw TensorError.unreadable(path: path, reason: Self.lastError())
        }
        self.base = UnsafeRawPointer(address)
        self.isCopy = false
    }

    /// Bytes in memory that stand for the file at `path`: what the fuzzer's readers are given, because an address
    /// sanitizer sees the end of an allocation but not that of a file in its last page.
    package init(copying bytes: [UInt8], path: String) {
        let copy = UnsafeMutableRawPointer.allocate(byteCount: max(bytes.count, 1), alignment: 64)
        bytes.withUnsafeBytes { copy.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(copy), byteCount: $0.count) }
        self.base = UnsafeRawPointer(copy)
        self.byteCount = bytes.count
        self.path = path
        self.isCopy = true
    }

    deinit {
        if isCopy {
            base.deallocate()
        } else {
            munmap(UnsafeMutableRawPointer(mutating: base), byteCount)
        }
    }

    /// Gives `body` the file's bytes as a bounds-checked span.
    public func withBytes<Result>(_ body: (RawSpan) throws -> Result) rethrows -> Result {
        try withExtendedLifetime(self) {
            try body(UnsafeRawBufferPointer(start: base, count: byteCount).bytes)
        }
    }

    private static func lastError() -> String { String(cString: strerror(errno)) }
}
