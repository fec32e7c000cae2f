import Foundation
import NeuralNetwork
import Tensors
import TestSupport
import Testing

@Suite struct AdamWPropertyTests {
    @Test("five steps follow the formula, with decay, factors and clipping, on every kernel set")
    func steps() {
        for context in ComputeContext.everyKernelSet {
            context.run {
                let shapes = [[7, 11], [5003]]
                let parameters = shapes.enumerated().map { Parameter("\($0)", .random($1, seed: UInt64($0))) }
                let optimizer = AdamW(
                    [
                        .init([parameters[0]], weightDecay: 0.1), .init([parameters[1]], rateFactor: 0.5),
                    ], beta1: 0.8, beta2: 0.95, epsilon: 1e-6)
                var x = parameters.map { $0.tensor.floats.map(Double.init) }
                var m = x.map { $0.map { _ in 0.0 } }
                var v = m
                for t in 1...5 {
                    let weights = shapes.enumerated().map {
                        Tensor.random($1, seed: UInt64(10 * t + $0), amplitude: 0.1)
                    }
                    for (parameter, weight) in zip(parameters, weights) {
                        (parameter.tensor * weight).backward(from: Tensor(repeating: 1, shape: weight.shape))
                    }
                    let g = weights.map { $0.floats.map(Double.init) }
                    let exactNorm = g.joined().reduce(0) { $0 + $1 * $1 }.squareRoot()
                    let norm = optimizer.step(rate: 0.01, clippingTo: 2)
                    #expect(abs(norm - exactNorm) < 1e-5 * exactNorm)
                    let scale = min(1, 2 / exactNorm)
                    for (p, (rate, decay)) in [(0.01, 0.1), (0.005, 0.0)].enumerated() {
                        for i in x[p].indices {
                            let d = g[p][i] * scale
                            m[p][i] = 0.8 * m[p][i] + 0.2 * d
                            v[p][i] = 0.95 * v[p][i] + 0.05 * d * d
                            let root = (v[p][i] / (1 - pow(0.95, Double(t)))).squareRoot() + 1e-6
                            x[p][i] -= rate * (decay * x[p][i] + m[p][i] / (1 - pow(0.8, Double(t))) / root)
                        }
                    }
                }
                for (parameter, exact) in zip(parameters, x) {
                    #expect(parameter.gradient == nil)
                    let worst = zip(parameter.tensor.floats, exact).map { abs(Double($0) - $1) }.max() ?? .infinity
                    // A few float32 roundings of steps of 0.01 and values up to 1.
                    #expect(worst < 2e-6, "\(context.kernels.name)")
                }
            }
        }
    }

    @Test("a parameter that no gradient reached stays as it is")
    func untouched() {
        let parameter = Parameter("w", .random([4], seed: 1))
        let before = parameter.tensor.bytes
        AdamW([.init([parameter], weightDecay: 1)]).step(rate: 1)
        #expect(parameter.tensor.bytes == before)
    }
}

@Suite struct BatchNormPropertyTests {
    private func layer(training: Bool) -> BatchNorm {
        var weights = RandomWeights(seed: 5)
        weights.vector("weight", 6, around: 1)
        weights.vector("bias", 6, around: 0)
        weights.vector("running_mean", 6, around: 0)
        weights.vector("running_var", 6, around: 1)
        return BatchNorm(WeightReader(weights.tensors) { _ in training }, channels: 6)
    }

    @Test("training normalises by the batch and moves the averages towards it; evaluation uses the averages")
    func statistics() {
        let layer = layer(training: true)
        let x = Tensor.random([4, 3, 5, 6], seed: 6, amplitude: 3)
        let (mean, variance) = (layer.statistics.mean, layer.statistics.variance)
        let frozen = withoutGradients { layer(x) }
        #expect(layer.statistics.mean == mean)
        let y = layer(x).floats
        let columns = (0..<6).map { c in stride(from: c, to: 360, by: 6).map { Double(x.floats[$0]) } }
        for (c, column) in columns.enumerated() {
            let average = column.reduce(0, +) / 60
            let squares = column.reduce(0) { $0 + ($1 - average) * ($1 - average) }
            let (w, b) = (Double(layer.weight.floats[c]), Double(layer.bias.floats[c]))
            for (row, value) in column.enumerated() {
                let exact = (value - average) / (squares / 60 + 1e-5).squareRoot() * w + b
                #expect(abs(Double(y[row * 6 + c]) - exact) < 1e-5)
                let evaluated = (value - Double(mean[c])) / (Double(variance[c]) + 1e-5).squareRoot() * w + b
                #expect(abs(Double(frozen.floats[row * 6 + c]) - evaluated) < 1e-5)
            }
            #expect(abs(Double(layer.statistics.mean[c]) - (0.9 * Double(mean[c]) + 0.1 * average)) < 1e-6)
            #expect(abs(Double(layer.statistics.variance[c]) - (0.9 * Double(variance[c]) + 0.1 * squares / 59)) < 1e-5)
        }
    }

    @Test("a product before the layer can take it in")
    func folding() {
        let layer = layer(training: false)
        let (x, w, b) = (Tensor.random([9, 7], seed: 1), Tensor.random([6, 7], seed: 2), Tensor.random([6], seed: 3))
        let (filters, bias) = layer.folded(into: w, bias: b)
        let folded = product(x, filters, bias: bias)
        #expect(folded.distance(to: layer(product(x, w, bias: b))) < 2e-6)
    }
}
