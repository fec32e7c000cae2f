import Foundation

/// The bytes behind one or more tensors: an allocation of its own, a range of a memory-mapped file, or another tensor's rows.
///
/// Invariant that makes `@unchecked Sendable` true: bytes are written only by the code that creates the storage, before
/// the first tensor over it is handed out, and never afterwards; except those of a `Parameter`, whose invariant says when.
public final class TensorStorage: @unchecked Sendable {
    /// The first byte.
    var base: UnsafeMutableRawPointer {
        switch place {
        case .memory(let base): base
        case .rows(let rows): rows.bytes
        }
    }
    private let place: Place
    /// Size in bytes.
    public let byteCount: Int
    /// Whether the bytes are a mapped file's.
    let isMapped: Bool
    private let owner: Owner

    private enum Place {
        case memory(UnsafeMutableRawPointer)
        case rows(RegroupedRows)
    }

    /// What the bytes go back to.
    private enum Owner {
        case allocator
        case pool(MemoryPool, size: Int)
        case file(MemoryMappedFile)
        case system
        case rows
    }

    /// Storage aligned to a cache line, contents undefined.
    /// - Parameter isHuge: whether to ask for large pages, where there is room for one; streams of weights read faster.
    init(byteCount: Int, isHuge: Bool = false) {
        let page = 1 << 21
        let wantsPages = isHuge && byteCount >= page
        let context = ComputeContext.current
        if !wantsPages, let pool = context.memory, byteCount >= pool.smallestBlock {
            let size = MemoryPool.blockSize(for: byteCount)
            let memory = pool.take(size, context.operations)
            self.place = .memory(memory)
            self.byteCount = byteCount
            self.isMapped = false
            self.owner = .pool(pool, size: size)
            return
        }
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: max(byteCount, 1), alignment: wantsPages ? page : 64)
        if wantsPages { madvise(memory, byteCount / page * page, MADV_HUGEPAGE) }
        context.operations?.add(allocatedBytes: byteCount)
        self.place = .memory(memory)
        self.byteCount = byteCount
        self.isMapped = false
        self.owner = .allocator
    }

    /// A view of a mapped file, which lives as long as the view.
    init(mapping file: MemoryMappedFile) {
        self.place = .memory(UnsafeMutableRawPointer(mutating: file.base))
        self.byteCount = file.byteCount
        self.isMapped = true
        self.owner = .file(file)
    }

    /// Rows that are copied when their bytes are read.
    init(_ rows: RegroupedRows) {
        self.place = .rows(rows)
        self.byteCount = rows.source.byteCount
        self.isMapped = false
        self.owner = .rows
    }

    /// The rows, if they are another tensor's.
    var regroupedRows: RegroupedRows? {
        if case .rows(let rows) = place { rows } else { nil }
    }

    /// Bytes that are all 0 and take no memory, however many they are; nil if the system has no address space for them.
    init?(zeros byteCount: Int) {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let memory = mmap(nil, max(byteCount, 1), PROT_READ, flags, -1, 0), memory != MAP_FAILED else {
            return nil
        }
        self.place = .memory(memory)
        self.byteCount = byteCount
        self.isMapped = true
        self.owner = .system
    }

    deinit {
        switch owner {
        case .allocator: base.deallocate()
        case .pool(let pool, let size): pool.give(UInt(bitPattern: base), size: size)
        case .file, .rows: break
        case .system: munmap(base, max(byteCount, 1))
        }
    }
}
