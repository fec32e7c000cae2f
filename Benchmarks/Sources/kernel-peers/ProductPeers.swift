import COneDNN
import NeuralNetwork
import Tensors

/// A float32 product of activations with a weight `[N, K]`, as ours, OpenBLAS and oneDNN compute it.
final class ProductPeers {
    let rows, columns, depth: Int
    private let x, weight: Tensor
    private let map: Linear
    private let output: UnsafeMutablePointer<Float>
    private let openBLAS: OpenBLAS

    /// Of ViT-L/14 at 336 pixels, a 7B decoder, and a prompt that is short; as in `vlm bench kernels`.
    static let shapes = [(577, 1024, 1024), (577, 4096, 1024), (577, 1024, 4096), (512, 4096, 4096), (64, 4096, 4096)]

    init(rows: Int, columns: Int, depth: Int, openBLAS: OpenBLAS) {
        var values = WeightInitializer(seed: 1)
        (self.rows, self.columns, self.depth, self.openBLAS) = (rows, columns, depth, openBLAS)
        x = values.uniform([rows, depth], bound: 1)
        weight = values.uniform([columns, depth], bound: 1)
        map = Linear(weight: weight)
        output = .allocate(capacity: rows * columns)
    }

    deinit { output.deallocate() }

    var programs: [(name: String, body: () -> Void)] {
        [("ours", { _ = self.map(self.x) }), ("OpenBLAS", runOpenBLAS), ("oneDNN", runOneDNN)]
    }

    private func runOpenBLAS() {
        x.withFloats { x in
            weight.withFloats { weight in
                guard let x = x.baseAddress, let weight = weight.baseAddress else { return }
                openBLAS.multiply(
                    rows: rows, columns: columns, depth: depth, x, weight, isTurned: true, into: output)
            }
        }
    }

    private func runOneDNN() {
        x.withFloats { x in
            weight.withFloats { weight in
                let status = onednn_product(
                    Int64(rows), Int64(columns), Int64(depth), x.baseAddress, weight.baseAddress, output)
                precondition(status == 0, "oneDNN failed at a product")
            }
        }
    }
}
