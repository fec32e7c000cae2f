/// The input pixels that each output pixel of a one-dimensional bicubic resampling sums, with their weights.
///
/// Pillow 10's tables (`precompute_coeffs` and `normalize_coeffs_8bpc` of its Resample.c), rounded in the same places:
/// the Keys cubic with a = -0.5, stretched by the scale when shrinking so that it averages, normalised in double and
/// rounded to 22-bit fixed point. Only the outputs asked for are tabulated, so a crop costs what the crop needs.
struct BicubicTaps: Sendable {
    /// Bits behind the point of a weight.
    static let precision = 22

    /// The first input of each output.
    private(set) var first: [Int32]
    /// How many inputs each output sums.
    let count: [Int32]
    /// [outputs, stride], of which the first `count` of each row are used.
    let weights: [Int32]
    /// Distance between the outputs' weights.
    let stride: Int
    /// All inputs that some output reads.
    private(set) var inputs: Range<Int>

    /// The taps of outputs `range` when `input` pixels become `output`.
    init(from input: Int, to output: Int, keeping range: Range<Int>) {
        let scale = Double(input) / Double(output)
        let filterScale = max(scale, 1)
        let support = 2 * filterScale
        let inverse = 1 / filterScale
        let stride = Int(support.rounded(.up)) * 2 + 1
        var first: [Int32] = []
        var count: [Int32] = []
        var weights = [Int32](repeating: 0, count: range.count * stride)
        for (row, index) in range.enumerated() {
            let center = (Double(index) + 0.5) * scale
            let low = max(0, Int(center - support + 0.5))
            let high = min(input, Int(center + support + 0.5))
            let values = (low..<high).map { Self.keysCubic((Double($0) - center + 0.5) * inverse) }
            let sum = values.reduce(0, +)
            for (tap, value) in values.enumerated() {
                weights[row * stride + tap] = Self.fixedPoint(sum == 0 ? value : value / sum)
            }
            first.append(Int32(low))
            count.append(Int32(high - low))
        }
        self.first = first
        self.count = count
        self.weights = weights
        self.stride = stride
        // Both ends grow with the output.
        self.inputs = first.isEmpty ? 0..<0 : Int(first[0])..<Int(first[first.count - 1] + count[count.count - 1])
    }

    /// The same taps over an input that begins `-offset` pixels later.
    func shifted(by offset: Int) -> BicubicTaps {
        var taps = self
        taps.first = first.map { $0 + Int32(offset) }
        taps.inputs = inputs.lowerBound + offset..<inputs.upperBound + offset
        return taps
    }

    /// The cubic convolution kernel of Keys (1981) with a = -0.5.
    private static func keysCubic(_ argument: Double) -> Double {
        let a = -0.5
        let x = abs(argument)
        if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
        if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
        return 0
    }

    private static func fixedPoint(_ weight: Double) -> Int32 {
        let scaled = weight * Double(1 << precision)
        return Int32(scaled < 0 ? scaled - 0.5 : scaled + 0.5)
    }
}
