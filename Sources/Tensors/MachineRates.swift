import CKernels

/// What the machine does at best, as far as this process can tell: what measured speeds are held against.
public struct MachineRates: Sendable {
    /// Float32 operations a second in register tiles whose operands stay in the L1 cache.
    public var flops: Double
    /// Bytes a second read from arrays of large pages that no cache holds, as packed weights are.
    public var bytes: Double

    /// Rates that were measured.
    public init(flops: Double, bytes: Double) { (self.flops, self.bytes) = (flops, bytes) }

    /// Both rates on all threads of the current context; takes some 50 milliseconds and 64 MB a thread.
    public static func measured() -> MachineRates {
        let context = ComputeContext.current
        let table = context.table
        let (rows, columns, depth) = (Int(table.tile_rows), Int(table.tile_columns), 256)
        let (rounds, large, width, threads) = (2000, 1 << 24, 4096, context.pool.threadCount)
        let values = TensorStorage(byteCount: threads * large * 4, isHuge: true)
        let floats = values.base.bindMemory(to: Float.self, capacity: threads * large)
        let x = Tensor(repeating: 1, shape: [width])
        let clock = ContinuousClock()
        let computing = clock.measure {
            context.pool.run(threads) { _ in
                let floats = (rows + columns) * depth + rows * columns
                let scratch = Scratch(floats)
                scratch.floats.initialize(repeating: 0, count: floats)
                let (panel, c) = (scratch.floats + rows * depth, scratch.floats + (rows + columns) * depth)
                let a = (0..<rows).map { Optional(UnsafePointer(scratch.floats + $0 * depth)) }
                for _ in 0..<rounds {
                    table.product_tile(Int64(rows), Int64(columns), Int64(depth), a, panel, c, Int64(columns), 0)
                }
            }
        }
        context.pool.run(threads) { (floats + $0 * large).update(repeating: 1, count: large) }
        let reading = clock.measure {
            context.pool.run(threads) { thread in
                let sums = Scratch(large / width)
                table.product_dots(
                    VLM_F32, 1, Int64(large / width), Int64(width), x.floatPointer, Int64(width),
                    floats + thread * large, Int64(width), sums.floats, Int64(large / width))
            }
        }
        withExtendedLifetime(values) {}
        func perSecond(_ count: Int, _ duration: Duration) -> Double { Double(count) / (duration / .seconds(1)) }
        return MachineRates(
            flops: perSecond(2 * rows * columns * depth * rounds * threads, computing),
            bytes: perSecond(threads * large * 4, reading))
    }
}
