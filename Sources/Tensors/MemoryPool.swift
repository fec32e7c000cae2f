import Foundation
import Synchronization

/// Memory that large tensors give back and later ones take again.
///
/// A training step makes and drops the same hundreds of tensors each time; asking the system for their pages anew costs a
/// fifth of it. A context has no pool unless it is given one, because what the pool keeps stays resident.
public final class MemoryPool: Sendable {
    /// Smaller blocks are left to the allocator.
    static let smallestBlock = 1 << 16
    private struct Blocks {
        /// Addresses of free blocks by their size.
        var free: [Int: [UInt]] = [:]
        /// Whether blocks that come back are kept.
        var isOpen = true
    }

    private let blocks = Mutex(Blocks())

    /// An empty pool.
    public init() {}

    deinit { close() }

    /// Gives the free blocks back to the system, and from now on those of tensors that still live as soon as they end.
    func close() {
        let free = blocks.withLock { blocks in
            blocks.isOpen = false
            defer { blocks.free = [:] }
            return blocks.free
        }
        for address in free.values.joined() { UnsafeMutableRawPointer(bitPattern: address)?.deallocate() }
    }

    /// Bytes that wait to be taken again.
    public var freeBytes: Int { blocks.withLock { $0.free.reduce(0) { $0 + $1.key * $1.value.count } } }

    /// The size of the block that `byteCount` bytes are given: eight sizes to each power of two.
    static func blockSize(for byteCount: Int) -> Int {
        let step = max(4096, 1 << (Int.bitWidth - byteCount.leadingZeroBitCount - 4))
        return (byteCount + step - 1) / step * step
    }

    func take(_ size: Int) -> UnsafeMutableRawPointer {
        let address = blocks.withLock { $0.free[size]?.popLast() }
        return address.flatMap { UnsafeMutableRawPointer(bitPattern: $0) } ?? Self.allocate(size)
    }

    /// Memory that asks for large pages where there is room for one: the system clears a page of 4 KB in the time in which
    /// it finds it, and a tower's tensors are some ten thousand of them.
    private static func allocate(_ size: Int) -> UnsafeMutableRawPointer {
        let page = 1 << 21
        let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: size < page ? 64 : page)
        if size >= page { madvise(memory, size / page * page, MADV_HUGEPAGE) }
        return memory
    }

    func give(_ address: UInt, size: Int) {
        let isKept = blocks.withLock { blocks in
            if blocks.isOpen { blocks.free[size, default: []].append(address) }
            return blocks.isOpen
        }
        if !isKept { UnsafeMutableRawPointer(bitPattern: address)?.deallocate() }
    }
}
