import Foundation

/// The bytes behind one or more tensors: an allocation of its own, or a range of a memory-mapped file.
///
/// Invariant that makes `@unchecked Sendable` true: bytes are written only by the code that creates the storage, before
/// the first tensor over it is handed out, and never afterwards; except those of a `Parameter`, whose invariant says when.
public final class TensorStorage: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    /// Size in bytes.
    public let byteCount: Int
    /// Whether the bytes are a mapped file's.
    let isMapped: Bool
    private let owner: Owner

    /// What the bytes go back to.
    private enum Owner {
        case allocator
        case pool(MemoryPool, size: Int)
        case file(MemoryMappedFile)
        case system
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
            self.base = memory
            self.byteCount = byteCount
            self.isMapped = false
            self.owner = .pool(pool, size: size)
            return
        }
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: max(byteCount, 1), alignment: wantsPages ? page : 64)
        if wantsPages { madvise(memory, byteCount / page * page, MADV_HUGEPAGE) }
        context.operations?.add(allocatedBytes: byteCount)
        self.base = memory
        self.byteCount = byteCount
        self.isMapped = false
        self.owner = .allocator
    }

    /// A view of a mapped file, which lives as long as the view.
    init(mapping file: MemoryMappedFile) {
        self.base = UnsafeMutableRawPointer(mutating: file.base)
        self.byteCount = file.byteCount
        self.isMapped = true
        self.owner = .file(file)
    }

    /// Bytes that are all 0 and take no memory, however many they are; nil if the system has no address space for them.
    init?(zeros byteCount: Int) {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let memory = mmap(nil, max(byteCount, 1), PROT_READ, flags, -1, 0), memory != MAP_FAILED else {
            return nil
        }
        self.base = memory
        self.byteCount = byteCount
        self.isMapped = true
        self.owner = .system
    }

    deinit {
        switch owner {
        case .allocator: base.deallocate()
        case .pool(let pool, let size): pool.give(UInt(bitPattern: base), size: size)
        case .file: break
        case .system: munmap(base, max(byteCount, 1))
        }
    }
}
