import Synchronization

/// Memory that large tensors give back and later ones take again.
///
/// A training step makes and drops the same hundreds of tensors each time; asking the system for their pages anew costs a
/// fifth of it. A context has no pool unless it is given one, because what the pool keeps stays resident.
public final class MemoryPool: Sendable {
    /// Smaller blocks are left to the allocator.
    static let smallestBlock = 1 << 16
    /// Addresses of free blocks by their size.
    private let free = Mutex<[Int: [UInt]]>([:])

    /// An empty pool.
    public init() {}

    deinit {
        free.withLock { blocks in
            for address in blocks.values.joined() { UnsafeMutableRawPointer(bitPattern: address)?.deallocate() }
        }
    }

    /// Bytes that wait to be taken again.
    public var freeBytes: Int { free.withLock { $0.reduce(0) { $0 + $1.key * $1.value.count } } }

    /// The size of the block that `byteCount` bytes are given: eight sizes to each power of two.
    static func blockSize(for byteCount: Int) -> Int {
        let step = max(4096, 1 << (Int.bitWidth - byteCount.leadingZeroBitCount - 4))
        return (byteCount + step - 1) / step * step
    }

    func take(_ size: Int) -> UnsafeMutableRawPointer {
        let address = free.withLock { $0[size]?.popLast() }
        return address.flatMap { UnsafeMutableRawPointer(bitPattern: $0) }
            ?? UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
    }

    func give(_ address: UInt, size: Int) { free.withLock { $0[size, default: []].append(address) } }
}
