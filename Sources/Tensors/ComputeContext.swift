package import CKernels
import Foundation

/// A set of kernels for one instruction set.
public struct KernelSet: Sendable {
    // A constant of the C library, so sharing the pointer is safe.
    nonisolated(unsafe) package let table: UnsafePointer<vlm_kernels>

    private init?(_ table: UnsafePointer<vlm_kernels>?) {
        guard let table else { return nil }
        self.table = table
    }

    nonisolated(unsafe) private static let tables: [UnsafePointer<vlm_kernels>?] = [
        vlm_kernels_avx512(), vlm_kernels_avx2(), vlm_kernels_portable(),
    ]

    /// Every set this processor can run, fastest first; the portable one is always last.
    public static let available: [KernelSet] = tables.compactMap(KernelSet.init)

    /// The environment variable that names the set to use instead of the fastest: avx512, avx2 or portable.
    public static let variable = "VLM_ISA"

    /// What the environment asks for; nil if it does not, or empty.
    public static var wantedName: String? {
        ProcessInfo.processInfo.environment[variable].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The set that the environment names, or else (and where this processor has none of that name) the fastest.
    public static let best: KernelSet = available.first { $0.name == wantedName } ?? available[0]

    /// "portable", "avx2" or "avx512".
    public var name: String { String(cString: table.pointee.name) }
}

/// Where operations run: the kernels they reach and the threads they use.
///
/// It is bound to the current task, so that models read as mathematics:
///
///     ComputeContext(threads: 2).run { model(x) }
public struct ComputeContext: Sendable {
    /// The kernels that operations call.
    public var kernels: KernelSet
    /// The threads that operations share.
    public var pool: WorkerPool
    /// Where large tensors take their memory from and give it back to; nil for the system's.
    public var memory: MemoryPool?
    /// How products with block-quantised weights are computed.
    public var quantizedProducts = QuantizedProducts.exact
    /// When weights are packed for native products.
    public var packing = WeightPacking.afterSomeUse
    /// What counts operations and the memory they ask for; nil for nothing.
    public var operations: OperationCounter?

    /// A context of its own, by default with the fastest kernels, a thread for every processor and exact products.
    /// - Parameter memory: a pool for training, which makes the same tensors again and again.
    public init(kernels: KernelSet = .best, threads: Int? = nil, memory: MemoryPool? = nil) {
        self.kernels = kernels
        self.memory = memory
        self.pool = WorkerPool(threads: threads)
    }

    /// The context of the current task.
    @TaskLocal public static var current = ComputeContext()

    /// Runs `body` so that large tensors take the memory that earlier ones gave back: the system clears every page that it
    /// hands out, a tenth of the time of a tower otherwise. What is free at the end waits for the next time, up to
    /// `MemoryPool.keptBytes`. Where the context has a pool already, that one is used.
    public static func reusingMemory<Result>(_ body: () throws -> Result) rethrows -> Result {
        guard current.memory == nil else { return try body() }
        defer { MemoryPool.shared.trim(to: MemoryPool.keptBytes) }
        return try reusingMemory(of: .shared, body)
    }

    /// Runs `body` so that tensors take their memory from a pool, which keeps it for the next time. Where the context has a
    /// pool already, that one is used.
    public static func reusingMemory<Result>(of pool: MemoryPool, _ body: () throws -> Result) rethrows -> Result {
        var context = current
        guard context.memory == nil else { return try body() }
        context.memory = pool
        return try context.run(body)
    }

    /// Runs `body` with this context as the current one.
    public func run<Result>(_ body: () throws -> Result) rethrows -> Result {
        try Self.$current.withValue(self, operation: body)
    }
}
