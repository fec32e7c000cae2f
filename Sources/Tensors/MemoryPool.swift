import Foundation
import Synchronization

/// Memory that large tensors give back and later ones take again.
///
/// A training step makes and drops the same hundreds of tensors each time; asking the system for their pages anew costs a
/// fifth of it. A context has no pool unless it is given one, because what the pool keeps stays resident.
public final class MemoryPool: Sendable {
    /// Bytes of the smallest block; what is smaller is left to the allocator.
    let smallestBlock: Int
    private struct Blocks {
        /// Addresses of free blocks, a list for each size: eight to each power of two.
        var free = [[UInt]](repeating: [], count: 8 * Int.bitWidth)
    }

    private let blocks = Mutex(Blocks())

    /// An empty pool.
    /// - Parameter smallestBlock: bytes from which on it is asked; by default those of blocks that the system clears.
    public init(smallestBlock: Int = 1 << 16) { self.smallestBlock = smallestBlock }

    deinit { trim(to: 0) }

    /// What models without a pool of their own take the memory of a pass from.
    static let shared = MemoryPool()
    /// Bytes that `shared` may hold between two passes: more than those of a tower or a prompt of a few hundred tokens.
    static let keptBytes = 256 << 20

    /// Gives all free blocks back to the system if they are more than so many bytes.
    func trim(to limit: Int) {
        guard freeBytes > limit else { return }
        let free = blocks.withLock { blocks in
            defer { blocks.free = blocks.free.map { _ in [] } }
            return blocks.free
        }
        for address in free.joined() { UnsafeMutableRawPointer(bitPattern: address)?.deallocate() }
    }

    /// Bytes that wait to be taken again.
    public var freeBytes: Int {
        blocks.withLock { blocks in
            blocks.free.indices.reduce(0) { $0 + (8 + $1 % 8) << ($1 / 8 - 3) * blocks.free[$1].count }
        }
    }

    /// The size of the block that `byteCount` bytes are given: eight sizes to each power of two.
    static func blockSize(for byteCount: Int) -> Int {
        let step = max(4096, 1 << (Int.bitWidth - byteCount.leadingZeroBitCount - 4))
        return (byteCount + step - 1) / step * step
    }

    /// The list of a size that `blockSize` gives: its highest bit and the three bits after it are all it has.
    private static func list(of size: Int) -> Int {
        let highest = Int.bitWidth - 1 - size.leadingZeroBitCount
        return 8 * highest + (size >> (highest - 3)) % 8
    }

    func take(_ size: Int, _ counter: OperationCounter?) -> UnsafeMutableRawPointer {
        let address = blocks.withLock { $0.free[Self.list(of: size)].popLast() }
        if let memory = address.flatMap({ UnsafeMutableRawPointer(bitPattern: $0) }) { return memory }
        counter?.add(allocatedBytes: size)
        return Self.allocate(size)
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
        blocks.withLock { $0.free[Self.list(of: size)].append(address) }
    }
}
