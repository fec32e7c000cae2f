import CKernels
import COneDNN
import NeuralNetwork
import Tensors
import VisionEncoder

/// One layer as ours, as im2col with the same product, and as others compute it, on one image in rows of pixels.
final class ConvolutionPeers {
    let layer: PublishedLayer
    let image: Tensor
    private let ours, im2col: Convolution2D
    private let shape: vlm_convolution
    /// Filters as `[K, Co]`, in the order of a window of im2col.
    private let matrix: Tensor
    private let direct: OpaquePointer
    private let openBLAS: OpenBLAS
    private let columns, output: UnsafeMutablePointer<Float>
    /// The direct convolution oneDNN has for it.
    let oneDNNName: String

    init(_ layer: PublishedLayer, openBLAS: OpenBLAS) throws {
        let g = layer.geometry
        let filters: Tensor
        (image, filters) = Self.values(layer)
        self.layer = layer
        self.openBLAS = openBLAS
        ours = Convolution2D(g, filters: filters)
        im2col = Convolution2D(g, filters: filters, route: .im2col)
        let size = g.outputSize(height: layer.side, width: layer.side)
        let shape = vlm_convolution(
            channels: Int64(g.channels), height: Int64(layer.side), width: Int64(layer.side), filters: Int64(g.filters),
            filter_height: Int64(g.filterHeight), filter_width: Int64(g.filterWidth),
            stride_height: Int64(g.strideHeight), stride_width: Int64(g.strideWidth), padding_top: 0, padding_left: 0,
            output_height: Int64(size.height), output_width: Int64(size.width))
        self.shape = shape
        matrix = Self.matrix(of: filters)
        guard
            let direct = filters.withFloats({
                onednn_convolution_create(
                    shape.channels, shape.height, shape.width, shape.filters, shape.filter_height, shape.stride_height,
                    $0.baseAddress)
            })
        else { throw PeerError.kernels("oneDNN has no direct convolution for \(layer.name)") }
        self.direct = direct
        oneDNNName = String(cString: onednn_convolution_name(direct))
        columns = .allocate(capacity: size.height * size.width * g.depth)
        output = .allocate(capacity: size.height * size.width * g.filters)
    }

    deinit {
        onednn_convolution_destroy(direct)
        columns.deallocate()
        output.deallocate()
    }

    /// Ours alone, ready to be called.
    static func ours(_ layer: PublishedLayer) -> () -> Void {
        let (image, filters) = values(layer)
        let convolution = Convolution2D(layer.geometry, filters: filters)
        return { _ = convolution(image) }
    }

    private static func values(_ layer: PublishedLayer) -> (image: Tensor, filters: Tensor) {
        let g = layer.geometry
        var values = WeightInitializer(seed: 1)
        return (
            values.uniform([layer.side, layer.side, g.channels], bound: 1),
            values.uniform([g.filters, g.channels, g.filterHeight, g.filterWidth], bound: 1)
        )
    }

    /// The same layer by ours and by the others, ready to be called.
    var programs: [(name: String, body: () -> Void)] {
        [
            ("ours", { _ = self.ours(self.image) }), ("im2col", { _ = self.im2col(self.image) }),
            ("im2col + OpenBLAS", runOpenBLAS), ("oneDNN", runOneDNN),
        ]
    }

    /// Compares results, so that all of them do the whole work.
    func check() throws {
        let expected = im2col(image).floats
        for (name, body) in programs.dropFirst(2) {
            output.update(repeating: .nan, count: expected.count)
            body()
            try compare(name, expected, UnsafeBufferPointer(start: output, count: expected.count))
        }
        try ours(image).withFloats { try compare("our own route", expected, $0) }
    }

    private func compare(_ name: String, _ expected: [Float], _ values: UnsafeBufferPointer<Float>) throws {
        // Sums of K products of values up to 1.
        let allowed = 1e-5 * Float(layer.geometry.depth)
        for (a, b) in zip(expected, values) where !((a - b).magnitude < allowed) {
            throw PeerError.disagree("\(layer.name), \(name)", by: (a - b).magnitude)
        }
    }

    /// Every window whole, on all threads, and one product.
    private func runOpenBLAS() {
        let rows = Int(shape.output_height)
        let parts = min(rows, 4 * ComputeContext.current.pool.threadCount)
        let rowFloats = Int(shape.output_width) * layer.geometry.depth
        image.withFloats { image in
            ComputeContext.current.pool.run(parts) { part in
                let (first, end) = (part * rows / parts, (part + 1) * rows / parts)
                withUnsafePointer(to: shape) {
                    vlm_im2col_rows($0, image.baseAddress, Int64(first), Int64(end), columns + first * rowFloats)
                }
            }
        }
        matrix.withFloats { matrix in
            guard let w = matrix.baseAddress else { return }
            openBLAS.multiply(
                rows: rows * Int(shape.output_width), columns: layer.geometry.filters, depth: layer.geometry.depth,
                columns, w, isTurned: false, into: output)
        }
    }

    private func runOneDNN() {
        image.withFloats { image in
            let status = onednn_convolution_run(direct, UnsafeMutablePointer(mutating: image.baseAddress), output)
            precondition(status == 0, "oneDNN failed at \(layer.name)")
        }
    }

    /// `[Co, C, Hf, Wf]` as `[Hf · Wf · C, Co]`.
    private static func matrix(of filters: Tensor) -> Tensor {
        let (count, channels, window) = (filters.shape[0], filters.shape[1], filters.shape[2] * filters.shape[3])
        let values = filters.floats
        return Tensor(shape: [window * channels, count]) { target in
            for filter in 0..<count {
                for c in 0..<channels {
                    for w in 0..<window {
                        target[(w * channels + c) * count + filter] = values[(filter * channels + c) * window + w]
                    }
                }
            }
        }
    }
}
