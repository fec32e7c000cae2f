import Synchronization

/// What some computation came to: operations, the bytes that these could not do without, and memory that was asked for.
public struct Work: Sendable, Equatable {
    /// Operations on float32 numbers; a multiply-add is two.
    public var float32Operations = 0
    /// Operations on integers of 16 bits.
    public var int16Operations = 0
    /// Operations on integers of 8 bits. Blocks in two parts, which keep 16 bits, count twice.
    public var int8Operations = 0
    /// Operations, whatever they are on.
    public var operations: Int { float32Operations + int16Operations + int8Operations }
    /// Bytes of the weights, keys and values that products and attention read, once for every one of them.
    public var bytesRead = 0
    /// Blocks that tensors, packed weights, caches and the scratch that threads keep took from the allocator. What a
    /// `MemoryPool` hands out again does not count, nor do objects and lists of Swift.
    public var allocatedBlocks = 0
    /// Bytes of these blocks, whether or not they were given back.
    public var allocatedBytes = 0

    /// No work.
    public init() {}

    /// What was done since an earlier count.
    public static func - (later: Work, earlier: Work) -> Work {
        var work = later
        work.float32Operations -= earlier.float32Operations
        work.int16Operations -= earlier.int16Operations
        work.int8Operations -= earlier.int8Operations
        work.bytesRead -= earlier.bytesRead
        work.allocatedBlocks -= earlier.allocatedBlocks
        work.allocatedBytes -= earlier.allocatedBytes
        return work
    }

    /// Seconds that a machine needs at its best for the operations alone: integers of 16 bits at twice the rate of float32 and
    /// those of 8 bits at four times, which is how many more of them an instruction takes.
    public func computingSeconds(at rates: MachineRates) -> Double {
        (Double(float32Operations) + Double(int16Operations) / 2 + Double(int8Operations) / 4) / rates.flops
    }

    /// Seconds that a machine needs at its best to read the bytes from memory, as if no cache held any.
    public func readingSeconds(at rates: MachineRates) -> Double { Double(bytesRead) / rates.bytes }
}

/// Floating-point operations of what was computed, counted from the shapes that operations were given; and what else it
/// came to.
///
/// A multiply-add is two operations. Products, attention (of the keys that each query sees) and convolutions count;
/// norms, activations and sums, which are some thousandths of them, do not. An operation counts once however many
/// threads share it, and products of ways back count as well.
public final class OperationCounter: Sendable {
    private let operations = Atomic<Int>(0)
    private let float32Operations = Atomic<Int>(0)
    private let int16Operations = Atomic<Int>(0)
    private let int8Operations = Atomic<Int>(0)
    private let bytesRead = Atomic<Int>(0)
    private let allocatedBlocks = Atomic<Int>(0)
    private let allocatedBytes = Atomic<Int>(0)

    /// A counter at 0.
    public init() {}

    /// Operations so far, whatever they were computed with.
    public var count: Int { operations.load(ordering: .relaxed) }

    /// What it came to so far.
    public var work: Work {
        var work = Work()
        work.float32Operations = float32Operations.load(ordering: .relaxed)
        work.int16Operations = int16Operations.load(ordering: .relaxed)
        work.int8Operations = int8Operations.load(ordering: .relaxed)
        work.bytesRead = bytesRead.load(ordering: .relaxed)
        work.allocatedBlocks = allocatedBlocks.load(ordering: .relaxed)
        work.allocatedBytes = allocatedBytes.load(ordering: .relaxed)
        return work
    }

    /// Operations that `body` adds, if nothing else counts here meanwhile.
    public func counting<Result: ~Copyable>(
        into sum: inout Int, _ body: () throws -> Result
    ) rethrows -> Result {
        let before = count
        defer { sum += count - before }
        return try body()
    }

    /// Adds a product of float32, or of integers of 16 bits, which are multiplied in pairs.
    package func add(multiplyAdds: Int, ofPairs: Bool = false, bytesRead bytes: Int = 0) {
        operations.add(2 * multiplyAdds, ordering: .relaxed)
        if ofPairs {
            int16Operations.add(2 * multiplyAdds, ordering: .relaxed)
        } else {
            float32Operations.add(2 * multiplyAdds, ordering: .relaxed)
        }
        bytesRead.add(bytes, ordering: .relaxed)
    }

    /// Adds a product of integers of 8 bits, and what second parts of rows take beside it.
    package func add(int8MultiplyAdds multiplyAdds: Int, ofSecondParts rest: Int, bytesRead bytes: Int) {
        operations.add(2 * multiplyAdds, ordering: .relaxed)
        int8Operations.add(2 * (multiplyAdds + rest), ordering: .relaxed)
        bytesRead.add(bytes, ordering: .relaxed)
    }

    /// Adds a block of memory that was taken from the allocator.
    package func add(allocatedBytes bytes: Int) {
        allocatedBlocks.add(1, ordering: .relaxed)
        allocatedBytes.add(bytes, ordering: .relaxed)
    }
}
