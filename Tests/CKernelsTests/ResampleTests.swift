import CKernels
import TestSupport
import Testing

@Suite("Resampling kernels")
struct ResampleTests {
    typealias Pass = (
        UnsafePointer<vlm_resample_taps>?, UnsafePointer<UInt8>?, Int64, Int64, Int64, UnsafeMutablePointer<UInt8>?
    ) -> Void

    /// Runs a pass with random taps over random pixels; `reads` is the extent the taps may reach.
    private static func run(
        _ pass: Pass, outputs: Int, reads: Int, maximumCount: Int, slack: Int, width: Int, rows: Int,
        resultCount: Int, seed: UInt64
    ) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        let stride = maximumCount + slack
        var first: [Int32] = []
        var count: [Int32] = []
        var weights = [Int32](repeating: 0, count: outputs * stride)
        for output in 0..<outputs {
            let taps = Int.random(in: 1...min(maximumCount, reads), using: &generator)
            first.append(Int32.random(in: 0...Int32(reads - taps), using: &generator))
            count.append(Int32(taps))
            // Of both signs, and together about as large as a normalised filter's.
            let largest = 4_000_000 / Int32(taps)
            for tap in 0..<taps {
                weights[output * stride + tap] = .random(in: -largest / 4...largest * 2, using: &generator)
            }
        }
        let pixels = (0..<width * max(reads, rows) * 3).map { _ in UInt8.random(in: 0...255, using: &generator) }
        var result = [UInt8](repeating: 0, count: resultCount)
        first.withUnsafeBufferPointer { first in
            count.withUnsafeBufferPointer { count in
                weights.withUnsafeBufferPointer { weights in
                    var taps = vlm_resample_taps(
                        outputs: Int64(outputs), stride: Int64(stride), first: first.baseAddress,
                        count: count.baseAddress, weights: weights.baseAddress)
                    pass(&taps, pixels, Int64(width), 0, Int64(rows), &result)
                }
            }
        }
        return result
    }

    @Test("the fast horizontal pass equals the plain one to the byte", arguments: [1, 2, 3, 4, 5, 7, 9, 31, 60])
    func horizontal(taps: Int) {
        for (index, width) in [1, 2, 5, 6, 17, 64, 131].enumerated() {
            for slack in [0, 1, 4] {
                let rows = 1 + index
                func result(_ pass: Pass) -> [UInt8] {
                    Self.run(
                        pass, outputs: 23, reads: width, maximumCount: taps, slack: slack, width: width, rows: rows,
                        resultCount: rows * 23 * 3, seed: UInt64(taps * 1000 + width))
                }
                let fast = result(vlm_resample_horizontal)
                #expect(fast == result(vlm_resample_horizontal_portable), "\(width) wide, slack \(slack)")
                #expect(Set(fast).count > 2)
            }
        }
    }

    @Test("the fast vertical pass equals the plain one to the byte", arguments: [1, 2, 3, 8, 40])
    func vertical(taps: Int) {
        for width in [1, 2, 21, 22, 43, 100] {
            func result(_ pass: Pass) -> [UInt8] {
                Self.run(
                    pass, outputs: 9, reads: 50, maximumCount: taps, slack: 1, width: width, rows: 9,
                    resultCount: 9 * width * 3, seed: UInt64(taps * 1000 + width))
            }
            let fast = result(vlm_resample_vertical)
            #expect(fast == result(vlm_resample_vertical_portable), "\(width) wide")
            #expect(Set(fast).count > 2)
        }
    }
}
