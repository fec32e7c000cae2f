import NeuralNetwork
import Tensors
import TestSupport
import Testing
import VisionEncoder

@Suite struct Convolution2DGradientTests {
    private static let cases: [(geometry: Convolution2D.Geometry, image: [Int])] = [
        (.init(channels: 3, filters: 5, filter: 3, stride: 2, padding: 1), [2, 7, 9, 3]),
        (
            .init(
                channels: 2, filters: 7, filterHeight: 3, filterWidth: 2, strideHeight: 1, strideWidth: 3,
                paddingHeight: 2, paddingWidth: 0), [1, 5, 8, 2]
        ),
        // Filters that skip pixels, and pixels beyond the last window.
        (.init(channels: 17, filters: 3, filter: 2, stride: 3), [2, 6, 7, 17]),
    ]

    @Test("the gradients of image, filters and bias agree with differences", arguments: cases.indices)
    func gradients(index: Int) {
        let (g, shape) = Self.cases[index]
        let filters = Tensor.random([g.filters, g.channels, g.filterHeight, g.filterWidth], seed: 2)
        checkGradients([.random(shape, seed: 1), filters, .random([g.filters], seed: 3)]) {
            Convolution2D(g, filters: $0[1], bias: $0[2])($0[0], activation: .silu)
        }
    }

    @Test("a batch is its images, and gradients have the same bytes on one and two threads")
    func batches() {
        let g = Convolution2D.Geometry(channels: 8, filters: 20, filter: 3, stride: 2, padding: 1)
        let images = Tensor.random([3, 40, 37, 8], seed: 1)
        let filters = Tensor.random([20, 8, 3, 3], seed: 2)
        let convolution = Convolution2D(g, filters: filters)
        #expect(convolution(images)[2].bytes == convolution(images[2]).bytes)

        func gradients(_ threads: Int) -> [[UInt8]] {
            ComputeContext(threads: threads).run {
                let parameters = [Parameter("x", images), Parameter("w", filters)]
                let y = Convolution2D(g, filters: parameters[1].tensor)(parameters[0].tensor)
                y.backward(from: .random(y.shape, seed: 3))
                return parameters.map { $0.gradient?.bytes ?? [] }
            }
        }
        #expect(gradients(1) == gradients(2))
    }

    @Test("filters that change are packed anew")
    func trainedFilters() {
        let g = Convolution2D.Geometry(channels: 1, filters: 1, filter: 1, stride: 1)
        let parameter = Parameter("w", Tensor([2], shape: [1, 1, 1, 1]))
        let convolution = Convolution2D(g, filters: parameter.tensor)
        let image = Tensor([1, 2], shape: [1, 2, 1])
        #expect(convolution(image).floats == [2, 4])
        parameter.update { values, _ in values[0] = 5 }
        #expect(withoutGradients { convolution(image).floats } == [5, 10])
    }
}
