import ArgumentParser
import Foundation
import NeuralNetwork
import Tensors
import VisionEncoder

/// `vlm bench kernels`: products, attention and convolutions by themselves, against what the machine does at best.
struct BenchKernelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels",
        abstract: "Time products, attention and the twelve im2win layers; print JSON.",
        discussion: """
            Every shape is run again and again for a while, and the best time kept: on a machine that others use it is the one
            that says what a kernel can do. of_peak is the part of the rate that float32 register tiles reach in the first
            cache, measured before and after each shape; for products of 8-bit integers four times that rate, which is how
            many more multiply-adds their instruction does.

            allocated_bytes are what one call takes from the allocator: its result and rounded rows, but not the scratch that
            threads keep. relative_error of a product with rounded weights is the length of its difference to that in
            float32.

            Attention counts the scores a causal mask leaves. The layers are those of the im2win paper (arXiv 2306.14320),
            one image in rows of pixels; im2col is the same product over windows that are stored whole.

            EXAMPLES
              vlm bench kernels --threads 1
              VLM_ISA=avx2 vlm bench kernels --seconds 0.2
            """)

    @Option(help: ArgumentHelp("Time for each shape.", valueName: "s"))
    var seconds = 0.5

    @OptionGroup var threads: ThreadOptions

    func validate() throws {
        guard seconds > 0, seconds.isFinite else { throw ValidationError("--seconds is above 0") }
    }

    func run() throws {
        var context = threads.context
        context.operations = OperationCounter()
        context.packing = .atOnce
        try context.run {
            let context = ComputeContext.current
            try Terminal.json(
                Report(
                    threads: context.pool.threadCount, kernels: context.kernels.name, products: products(),
                    attention: attentions(), convolutions: convolutions()))
        }
    }

    /// The best time of a shape in seconds, the float32 peak around it, and what the last call took from the allocator,
    /// which hands out no memory twice.
    private func measure(_ body: () -> Void) -> (seconds: Double, peak: Double, allocatedBytes: Int) {
        let (clock, before) = (ContinuousClock(), MachineRates.measured().flops)
        let start = clock.now
        var best = Double.infinity
        ComputeContext.reusingMemory {
            repeat {
                best = min(best, clock.measure { body() } / .seconds(1))
            } while clock.now - start < .seconds(seconds)
        }
        let counter = ComputeContext.current.operations
        let counted = counter?.work ?? Work()
        body()
        let allocated = (counter?.work ?? Work()) - counted
        return (best, max(before, MachineRates.measured().flops), allocated.allocatedBytes)
    }

    // MARK: - Products

    private func products() -> [Report.Product] {
        // Of ViT-L/14 at 336 pixels, a 7B decoder, and a prompt that is short.
        let shapes = [(577, 1024, 1024), (577, 4096, 1024), (577, 1024, 4096), (512, 4096, 4096), (64, 4096, 4096)]
        let forms: [(name: String, blocks: ElementType?, unit: Double)] = [
            ("float32", nil, 1), ("int8", .int8, 4), ("q8_0", .q8_0, 4), ("q4_0", .q4_0, 4),
        ]
        return shapes.flatMap { rows, columns, depth in
            let x = Self.values([rows, depth])
            let weight = Self.values([columns, depth])
            let exact = product(x, weight)
            return forms.map { form in
                let map = Linear(weight: weight, quantizedTo: form.blocks)
                var context = ComputeContext.current
                context.quantizedProducts = form.blocks == nil ? .exact : .native
                let (seconds, peak, allocated) = context.run { measure { _ = map(x) } }
                let rate = Double(2 * rows * columns * depth) / seconds
                let drift = form.blocks.map { _ in Drift(of: [context.run { map(x) }], from: [exact]) }
                return Report.Product(
                    weights: form.name, rows: rows, columns: columns, depth: depth, gflops: (rate * 1e-9).rounded(1),
                    ofPeak: (rate / (peak * form.unit)).rounded(3), allocatedBytes: allocated,
                    relativeError: drift?.relativeError.rounded(6))
            }
        }
    }

    // MARK: - Attention

    private func attentions() -> [Report.Attention] {
        let shapes: [(tokens: Int, heads: Int, size: Int, isCausal: Bool)] = [
            (257, 16, 64, false), (577, 16, 64, false), (1024, 16, 64, false), (1024, 16, 128, false),
            (2048, 16, 64, true), (2048, 16, 128, true),
        ]
        return shapes.map { tokens, heads, size, isCausal in
            let (q, k, v) = (
                Self.values([tokens, heads * size]), Self.values([tokens, heads * size]),
                Self.values([tokens, heads * size])
            )
            let (seconds, peak, allocated) = measure {
                _ = attention(
                    queries: q, keys: k, values: v, heads: heads, keyValueHeads: heads,
                    mask: isCausal ? .causal : .full)
            }
            let scores = isCausal ? tokens * (tokens + 1) / 2 : tokens * tokens
            let rate = Double(4 * scores * heads * size) / seconds
            return Report.Attention(
                tokens: tokens, heads: heads, headSize: size, mask: isCausal ? "causal" : "full",
                gflops: (rate * 1e-9).rounded(1), ofPeak: (rate / peak).rounded(3), allocatedBytes: allocated)
        }
    }

    // MARK: - Convolutions

    private func convolutions() -> [Report.Convolution] {
        PublishedLayer.all.map { layer in
            let (geometry, side) = (layer.geometry, layer.side)
            let (channels, filters, extent) = (geometry.channels, geometry.filters, geometry.filterHeight)
            let image = Self.values([side, side, channels])
            let weights = Self.values([filters, channels, extent, extent])
            let operations = Double(layer.operations)
            var rates: [String: Report.Rate] = [:]
            for (name, route) in [("im2win", Convolution2D.Route.im2win), ("row_run", .rowRun), ("im2col", .im2col)] {
                let convolution = Convolution2D(geometry, filters: weights, route: route)
                let (seconds, peak, allocated) = measure { _ = convolution(image) }
                let rate = operations / seconds
                rates[name] = Report.Rate(
                    gflops: (rate * 1e-9).rounded(1), ofPeak: (rate / peak).rounded(3),
                    scratchBytes: convolution.scratchBytes(height: side, width: side), allocatedBytes: allocated)
            }
            return Report.Convolution(
                layer: layer.name, input: "\(channels)x\(side)x\(side)",
                filter: "\(filters)x\(channels)x\(extent)x\(extent)", stride: geometry.strideHeight,
                chosen: Convolution2D(geometry, filters: weights).route == .im2win ? "im2win" : "row_run", routes: rates
            )
        }
    }

    /// Values between -1 and 1 that no kernel finds easier than others.
    private static func values(_ shape: [Int]) -> Tensor {
        var initializer = WeightInitializer(seed: UInt64(shape.reduce(1, *)))
        return initializer.uniform(shape, bound: 1)
    }

    private struct Report: Encodable {
        struct Product: Encodable {
            var weights: String
            var rows, columns, depth: Int
            var gflops, ofPeak: Double
            var allocatedBytes: Int
            /// Of rounded weights.
            var relativeError: Double?
        }

        struct Attention: Encodable {
            var tokens, heads, headSize: Int
            var mask: String
            var gflops, ofPeak: Double
            var allocatedBytes: Int
        }

        struct Rate: Encodable {
            var gflops, ofPeak: Double
            /// Working memory of a thread.
            var scratchBytes: Int
            var allocatedBytes: Int
        }

        struct Convolution: Encodable {
            var layer, input, filter: String
            var stride: Int
            /// The route that is taken where nobody says.
            var chosen: String
            var routes: [String: Rate]
        }

        var threads: Int
        var kernels: String
        var products: [Product]
        var attention: [Attention]
        var convolutions: [Convolution]
    }
}
