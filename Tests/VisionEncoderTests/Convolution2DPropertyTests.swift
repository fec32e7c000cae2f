import Foundation
import Tensors
import TestSupport
import Testing
import VisionEncoder

@Suite struct Convolution2DPropertyTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var height, width: Int
        var geometry: Convolution2D.Geometry

        init(_ height: Int, _ width: Int, _ geometry: Convolution2D.Geometry) {
            self.height = height
            self.width = width
            self.geometry = geometry
        }

        var testDescription: String { "\(height)x\(width), \(geometry)" }
    }

    static let cases: [Case] = [
        Case(1, 1, .init(channels: 1, filters: 1, filter: 1, stride: 1)),
        Case(14, 28, .init(channels: 3, filters: 40, filter: 14, stride: 14)),
        Case(30, 29, .init(channels: 3, filters: 8, filter: 14, stride: 14)),
        Case(23, 17, .init(channels: 3, filters: 33, filter: 7, stride: 2, padding: 3)),
        Case(11, 13, .init(channels: 5, filters: 9, filter: 3, stride: 1, padding: 1)),
        Case(12, 9, .init(channels: 17, filters: 20, filter: 3, stride: 2)),
        Case(9, 10, .init(channels: 2, filters: 3, filter: 2, stride: 3)),
        Case(
            10, 16,
            .init(
                channels: 20, filters: 7, filterHeight: 1, filterWidth: 4, strideHeight: 2, strideWidth: 1,
                paddingHeight: 0, paddingWidth: 0)),
        Case(
            8, 8,
            .init(
                channels: 4, filters: 5, filterHeight: 3, filterWidth: 2, strideHeight: 1, strideWidth: 2,
                paddingHeight: 2, paddingWidth: 1)),
    ]

    /// A convolution by its definition, in integers.
    private func reference(_ image: [Int], _ filters: [Int], _ test: Case) -> [Int] {
        let g = test.geometry
        let size = g.outputSize(height: test.height, width: test.width)
        var result: [Int] = []
        for m in 0..<size.height {
            for x in 0..<size.width {
                for j in 0..<g.filters {
                    var sum = 0
                    for u in 0..<g.filterHeight {
                        for v in 0..<g.filterWidth {
                            let (row, column) = (
                                m * g.strideHeight + u - g.paddingHeight, x * g.strideWidth + v - g.paddingWidth
                            )
                            guard (0..<test.height).contains(row), (0..<test.width).contains(column) else { continue }
                            for c in 0..<g.channels {
                                let filter = ((j * g.channels + c) * g.filterHeight + u) * g.filterWidth + v
                                sum += image[(row * test.width + column) * g.channels + c] * filters[filter]
                            }
                        }
                    }
                    result.append(sum)
                }
            }
        }
        return result
    }

    private func integers(_ count: Int, seed: UInt64) -> [Int] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in Int.random(in: -4...4, using: &generator) }
    }

    @Test("every route equals the definition bit for bit on small integers", arguments: cases)
    func routes(_ test: Case) {
        let g = test.geometry
        let image = integers(test.height * test.width * g.channels, seed: 1)
        let filters = integers(g.filters * g.depth, seed: 2)
        let expected = reference(image, filters, test).map { Float($0) }
        let x = Tensor(image.map { Float($0) }, shape: [test.height, test.width, g.channels])
        let w = Tensor(
            filters.map { Float($0) }, shape: [g.filters, g.channels, g.filterHeight, g.filterWidth])
        let isPadded = g.paddingHeight + g.paddingWidth > 0
        for context in ComputeContext.everyKernelSet + [ComputeContext(threads: 3)] {
            context.run {
                for route in Convolution2D.Route.allCases where route != .rowRun || !isPadded {
                    let y = Convolution2D(g, filters: w, route: route)(x)
                    #expect(y.floats == expected, "\(route) on \(context.kernels.name)")
                }
            }
        }
    }

    @Test("the window tensor has the content and the bytes of its formula", arguments: cases)
    func windows(_ test: Case) {
        let g = test.geometry
        let image = integers(test.height * test.width * g.channels, seed: 3)
        let x = Tensor(image.map { Float($0) }, shape: [test.height, test.width, g.channels])
        let w = Tensor(repeating: 0, shape: [g.filters, g.channels, g.filterHeight, g.filterWidth])
        let convolution = Convolution2D(g, filters: w, route: .im2win)
        let window = convolution.windows(of: x)
        let rows = g.outputSize(height: test.height, width: test.width).height
        // Whole images: as wide as the padded input, or as the last window reaches.
        let width = window.shape[1]
        #expect(window.shape == [rows, width, g.filterHeight, g.channels])
        #expect(width >= test.width + g.paddingWidth && width <= test.width + 2 * g.paddingWidth)
        #expect(window.byteCount == rows * width * g.filterHeight * g.channels * 4)
        let values = window.floats
        for m in 0..<rows {
            for k in 0..<width {
                for u in 0..<g.filterHeight {
                    for c in 0..<g.channels {
                        let (row, column) = (m * g.strideHeight + u - g.paddingHeight, k - g.paddingWidth)
                        let isInside = (0..<test.height).contains(row) && (0..<test.width).contains(column)
                        let expected = isInside ? Float(image[(row * test.width + column) * g.channels + c]) : 0
                        #expect(values[((m * width + k) * g.filterHeight + u) * g.channels + c] == expected)
                    }
                }
            }
        }
    }

    @Test("without padding the window tensor has N·C·Ho·Wi·Hf elements and im2col's bytes shrink by s/Wf")
    func windowBytes() {
        // Layer 3 of the twelve of the im2win papers: 3 x 227 x 227, filters of 7 x 7, stride 2.
        let geometry = Convolution2D.Geometry(channels: 3, filters: 64, filter: 7, stride: 2)
        let w = Tensor(repeating: 0, shape: [64, 3, 7, 7])
        let window = Convolution2D(geometry, filters: w, route: .im2win)
            .windows(of: Tensor(repeating: 0, shape: [227, 227, 3]))
        let output = geometry.outputSize(height: 227, width: 227)
        #expect(window.byteCount == 3 * output.height * 227 * 7 * 4)
        let ratio = Double(window.count) / Double(output.height * output.width * geometry.depth)
        #expect(abs(ratio - 0.292) < 0.001)
    }

    @Test("a strip of windows stays below its limit whatever the size of the image")
    func stripBytes() {
        let geometry = Convolution2D.Geometry(channels: 64, filters: 8, filter: 7, stride: 2)
        let convolution = Convolution2D(
            geometry, filters: Tensor(repeating: 0, shape: [8, 64, 7, 7]), route: .im2win)
        #expect(convolution.scratchBytes(height: 224, width: 224) <= 512 * 1024)
    }

    @Test("only padding needs windows that are laid out")
    func chosenRoute() {
        func route(_ geometry: Convolution2D.Geometry) -> Convolution2D.Route {
            let shape = [geometry.filters, geometry.channels, geometry.filterHeight, geometry.filterWidth]
            return Convolution2D(geometry, filters: Tensor(repeating: 0, shape: shape)).route
        }
        #expect(route(.init(channels: 3, filters: 4, filter: 14, stride: 14)) == .rowRun)
        #expect(route(.init(channels: 64, filters: 4, filter: 3, stride: 1)) == .rowRun)
        #expect(route(.init(channels: 64, filters: 4, filter: 3, stride: 1, padding: 1)) == .im2win)
    }

    @Test("bias and activation are applied once, and bfloat16 filters are read exactly")
    func epilogue() {
        let geometry = Convolution2D.Geometry(channels: 2, filters: 3, filter: 2, stride: 1)
        let x = Tensor.random([5, 6, 2], seed: 4)
        let w = Tensor.random([3, 2, 2, 2], seed: 5).asBFloat16
        let bias = Tensor.random([3], seed: 6)
        let plain = Convolution2D(geometry, filters: w.widened)(x)
        let full = Convolution2D(geometry, filters: w, bias: bias)(x, activation: .silu)
        for (index, value) in full.floats.enumerated() {
            let z = plain.floats[index] + bias.floats[index % 3]
            #expect(abs(value - z / (1 + exp(-z))) < 1e-6)
        }
    }
}
