import LLaVAPipeline
import Tensors

/// Times a stage again and again, and counts what it computes, reads and allocates.
///
/// Work is what the counter of the current context sees; of several measurements the last one's, when everything that is
/// made once is there.
struct StageMeter {
    private(set) var milliseconds: [Double] = []
    private(set) var work = Work()
    private(set) var pageFaults = 0

    /// Measures `body` once.
    mutating func measure<Result: ~Copyable>(_ body: () throws -> Result) rethrows -> Result {
        let context = ComputeContext.current
        let (before, faultsBefore) = (context.operations?.work ?? Work(), ProcessMemory.pageFaults)
        let (clock, start) = (ContinuousClock(), ContinuousClock().now)
        defer {
            milliseconds.append((clock.now - start).milliseconds)
            pageFaults = ProcessMemory.pageFaults - faultsBefore
            work = (context.operations?.work ?? Work()) - before
        }
        return try body()
    }

    /// The latest time.
    var latest: Double { milliseconds.last ?? 0 }

    /// Forgets the first measurement, which made what is kept.
    mutating func dropFirst() { milliseconds.removeFirst() }

    /// What was measured, as commands print it.
    /// - Parameter steps: how many equal steps a measurement consists of; one of them is reported.
    func report(at rates: MachineRates, steps: Int = 1) -> Report {
        let (count, median) = (Double(steps), milliseconds.median / Double(steps))
        let operations = Double(work.operations) / count
        func part(_ seconds: Double) -> Double? {
            seconds > 0 ? (seconds / count * 1000 / median).rounded(4) : nil
        }
        return Report(
            milliseconds: median.rounded(4), leastMilliseconds: ((milliseconds.min() ?? 0) / count).rounded(4),
            gflop: operations > 0 ? (operations * 1e-9).rounded(4) : nil,
            ofFloat32Peak: operations > 0 ? (operations / median * 1000 / rates.flops).rounded(4) : nil,
            ofPeak: part(work.computingSeconds(at: rates)),
            megabytesRead: work.bytesRead > 0 ? (Double(work.bytesRead) / count * 1e-6).rounded(3) : nil,
            ofReadRate: part(work.readingSeconds(at: rates)),
            allocatedBlocks: (Double(work.allocatedBlocks) / count).rounded(1),
            allocatedBytes: work.allocatedBytes / steps, pageFaults: (Double(pageFaults) / count).rounded(1))
    }

    /// The numbers of a stage.
    struct Report: Encodable {
        var milliseconds: Double
        var leastMilliseconds: Double
        /// Operations in units of 10^9.
        var gflop: Double?
        /// Operations a second in units of the float32 peak, whatever they are computed with.
        var ofFloat32Peak: Double?
        /// The part of the time that the operations would take at the peak of the units that compute them.
        var ofPeak: Double?
        /// Weights, keys and values that were read.
        var megabytesRead: Double?
        /// The part of the time that these would take to come from memory.
        var ofReadRate: Double?
        var allocatedBlocks: Double
        var allocatedBytes: Int
        /// Pages of memory that the system handed out or mapped.
        var pageFaults: Double
    }
}
