import CKernels
import TestSupport
import Testing

/// A convolution to test: height and width differ, so that a mix-up of the two shows.
struct ConvolutionCase: Sendable, CustomTestStringConvertible {
    var channels: Int, height: Int, width: Int, filters: Int, filterHeight: Int, filterWidth: Int
    var strideHeight: Int, strideWidth: Int, paddingTop = 0, paddingLeft = 0, paddingBottom = 0, paddingRight = 0

    var outputHeight: Int { (height + paddingTop + paddingBottom - filterHeight) / strideHeight + 1 }
    var outputWidth: Int { (width + paddingLeft + paddingRight - filterWidth) / strideWidth + 1 }
    var depth: Int { channels * filterHeight * filterWidth }
    var isPadded: Bool { paddingTop + paddingLeft + paddingBottom + paddingRight > 0 }
    var testDescription: String {
        "\(channels)x\(height)x\(width), \(filters) filters \(filterHeight)x\(filterWidth), "
            + "stride \(strideHeight),\(strideWidth), "
            + "padding \(paddingTop),\(paddingLeft),\(paddingBottom),\(paddingRight)"
    }

    var code: vlm_convolution {
        vlm_convolution(
            channels: Int64(channels), height: Int64(height), width: Int64(width), filters: Int64(filters),
            filter_height: Int64(filterHeight), filter_width: Int64(filterWidth), stride_height: Int64(strideHeight),
            stride_width: Int64(strideWidth), padding_top: Int64(paddingTop), padding_left: Int64(paddingLeft),
            output_height: Int64(outputHeight), output_width: Int64(outputWidth))
    }

    /// The value of the padded image, [H][W][C].
    func pixel(_ input: [Float], _ y: Int, _ x: Int, _ c: Int) -> Float {
        y >= 0 && y < height && x >= 0 && x < width ? input[(y * width + x) * channels + c] : 0
    }

    /// The definition: output [Ho][Wo][Co] from filters [Co][C][Hf][Wf].
    func naive(_ input: [Float], _ filters: [Float], _ bias: [Float]?) -> [Double] {
        var output = [Double]()
        for m in 0..<outputHeight {
            for x in 0..<outputWidth {
                for j in 0..<self.filters {
                    var sum = Double(bias?[j] ?? 0)
                    for c in 0..<channels {
                        for u in 0..<filterHeight {
                            for v in 0..<filterWidth {
                                let p = pixel(
                                    input, m * strideHeight + u - paddingTop, x * strideWidth + v - paddingLeft, c)
                                sum +=
                                    Double(p)
                                    * Double(filters[((j * channels + c) * filterHeight + u) * filterWidth + v])
                            }
                        }
                    }
                    output.append(sum)
                }
            }
        }
        return output
    }

    static let cases: [ConvolutionCase] = {
        var all: [ConvolutionCase] = [
            // A patch embedding whose last rows and columns are dropped; an 11 x 11 stem; a 1 x 1; a filter as large
            // as the image; a stride beyond the filter; a one-dimensional stem.
            .init(
                channels: 3, height: 30, width: 45, filters: 40, filterHeight: 14, filterWidth: 14, strideHeight: 14,
                strideWidth: 14),
            .init(
                channels: 3, height: 31, width: 27, filters: 33, filterHeight: 11, filterWidth: 11, strideHeight: 4,
                strideWidth: 4),
            .init(
                channels: 16, height: 5, width: 9, filters: 7, filterHeight: 1, filterWidth: 1, strideHeight: 1,
                strideWidth: 1),
            .init(
                channels: 2, height: 6, width: 7, filters: 3, filterHeight: 6, filterWidth: 7, strideHeight: 1,
                strideWidth: 1),
            .init(
                channels: 3, height: 11, width: 14, filters: 5, filterHeight: 2, filterWidth: 2, strideHeight: 3,
                strideWidth: 5),
            .init(
                channels: 8, height: 1, width: 40, filters: 12, filterHeight: 1, filterWidth: 3, strideHeight: 1,
                strideWidth: 2, paddingLeft: 1, paddingRight: 1),
            .init(
                channels: 1, height: 4, width: 3, filters: 2, filterHeight: 3, filterWidth: 3, strideHeight: 2,
                strideWidth: 1, paddingTop: 5, paddingLeft: 4, paddingBottom: 6, paddingRight: 4),
        ]
        var random = SeededGenerator(seed: 30)
        func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
        for _ in 0..<60 {
            let hf = pick(1...5), wf = pick(1...5), padded = Bool.random(using: &random)
            all.append(
                .init(
                    channels: pick(1...9), height: hf + pick(0...12), width: wf + pick(0...17), filters: pick(1...70),
                    filterHeight: hf, filterWidth: wf, strideHeight: pick(1...3), strideWidth: pick(1...3),
                    paddingTop: padded ? pick(0...3) : 0, paddingLeft: padded ? pick(0...3) : 0,
                    paddingBottom: padded ? pick(0...3) : 0, paddingRight: padded ? pick(0...3) : 0))
        }
        return all
    }()
}

@Suite("Convolution")
struct ConvolutionTests {
    static let routes = [VLM_IM2WIN, VLM_ROW_RUN, VLM_IM2COL]

    static func run(
        _ set: KernelSet, _ c: ConvolutionCase, route: vlm_convolution_route, element: Element, input: [Float],
        filters: [Float], bias: [Float]?, activation: Activation, strip: Int
    ) -> Fenced<Float> {
        var code = c.code
        let nr = set.tileColumns, blocks = (c.filters + nr - 1) / nr
        let image = Fenced(input), stored = Fenced(element.stored(filters)), b = Fenced(bias ?? [])
        let panels = Fenced([Float](repeating: .nan, count: blocks * c.depth * nr))
        vlm_convolution_pack(set.table, &code, route, element.code, stored.raw, panels.pointer)
        let scratch = Fenced([Float](repeating: .nan, count: vlm_convolution_scratch(&code, route, Int64(strip))))
        let output = Fenced([Float](repeating: untouched, count: c.outputHeight * c.outputWidth * c.filters))
        for first in stride(from: 0, to: c.outputHeight, by: strip) {
            for filter in stride(from: 0, to: c.filters, by: strip == 1 ? nr : c.filters) {
                vlm_convolution_rows(
                    set.table, &code, route, image.pointer, panels.pointer,
                    bias == nil ? nil : UnsafePointer(b.pointer), activation.code, Int64(first),
                    Int64(min(first + strip, c.outputHeight)), Int64(filter),
                    Int64(strip == 1 ? min(filter + nr, c.filters) : c.filters), scratch.pointer, output.pointer)
            }
        }
        return output
    }

    @Test(
        "all routes are exact on small integers, in strips of any height and parts of the filters",
        arguments: ConvolutionCase.cases)
    func integers(c: ConvolutionCase) {
        var random = SeededGenerator(seed: 31)
        let input = random.integers(c.height * c.width * c.channels), filters = random.integers(c.filters * c.depth)
        let bias = Bool.random(using: &random) ? random.integers(c.filters) : nil
        let expected = c.naive(input, filters, bias).map { Float($0) }
        for set in KernelSet.available {
            for route in Self.routes where !(route == VLM_ROW_RUN && c.isPadded) {
                for strip in [1, 2, c.outputHeight] {
                    let element = Element.allCases.randomElement(using: &random)!
                    let output = Self.run(
                        set, c, route: route, element: element, input: input, filters: filters, bias: bias,
                        activation: .identity, strip: strip)
                    #expect(output.values == expected && output.isIntact, "\(set), route \(route), strips of \(strip)")
                }
            }
        }
    }

    @Test("bias and activation follow the sum over the window", arguments: ConvolutionCase.cases.prefix(12))
    func activation(c: ConvolutionCase) {
        var random = SeededGenerator(seed: 32)
        let input = random.floats(c.height * c.width * c.channels), filters = random.floats(c.filters * c.depth)
        let bias = random.floats(c.filters), exact = c.naive(input, filters, bias)
        for set in KernelSet.available {
            for route in Self.routes where !(route == VLM_ROW_RUN && c.isPadded) {
                let output = Self.run(
                    set, c, route: route, element: .float32, input: input, filters: filters, bias: bias,
                    activation: .gelu, strip: 3)
                for (value, sum) in zip(output.values, exact) {
                    // Terms are at most 1 in magnitude, and GELU's slope at most 1.13.
                    let rounding = summationBound(terms: c.depth + 1, magnitude: Double(c.depth + 1))
                    let error = (Double(value) - Activation.gelu.exact(sum)).magnitude
                    #expect(error <= 1.13 * rounding + Activation.gelu.bound(sum))
                }
            }
        }
    }

    @Test("the window tensor is I'(m, k, u, c) = I(m s + u - top, k - left, c)", arguments: ConvolutionCase.cases)
    func windows(c: ConvolutionCase) {
        var code = c.code
        let input = (0..<c.height * c.width * c.channels).map { Float($0 + 1) }
        let row = Int(vlm_im2win_row_floats(&code)), columns = row / (c.filterHeight * c.channels)
        #expect(row % (c.filterHeight * c.channels) == 0)
        #expect(columns >= (c.outputWidth - 1) * c.strideWidth + c.filterWidth)
        #expect(vlm_convolution_scratch(&code, VLM_IM2WIN, 3) == 3 * row)

        let image = Fenced(input)
        for (first, end) in [(0, c.outputHeight), (c.outputHeight / 2, c.outputHeight)] {
            let window = Fenced([Float](repeating: .nan, count: (end - first) * row))
            vlm_im2win_rows(&code, image.pointer, Int64(first), Int64(end), window.pointer)
            var expected = [Float]()
            for m in first..<end {
                for k in 0..<columns {
                    for u in 0..<c.filterHeight {
                        for channel in 0..<c.channels {
                            expected.append(
                                c.pixel(input, m * c.strideHeight + u - c.paddingTop, k - c.paddingLeft, channel))
                        }
                    }
                }
            }
            #expect(window.values == expected && window.isIntact)
        }
    }
}
