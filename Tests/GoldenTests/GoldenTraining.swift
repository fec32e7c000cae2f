import LanguageDecoder
import LLaVAPipeline
import NeuralNetwork
import Tensors
import TestSupport
import Testing

extension LoadOptions {
    /// Everything but the tower is trained.
    static var training: LoadOptions {
        var options = LoadOptions()
        options.trains = { _ in true }
        return options
    }
}

extension LlamaModel {
    /// Mean next-token cross entropy over the rows of a batch, each with final hidden states `[T, D]` and T labels.
    func meanLoss(_ rows: [(hidden: Tensor, labels: [Int])]) -> Tensor {
        let parts = rows.map {
            CrossEntropyLoss.sum(hiddenStates: $0.hidden, labels: CrossEntropyLoss.shifted($0.labels), head: logits)
        }
        let count = parts.reduce(0) { $0 + $1.count }
        return parts.dropFirst().reduce(parts[0].loss) { $0 + $1.loss }.scaled(by: 1 / Float(count))
    }
}

extension Parameter {
    /// The gradient, zeros if none flowed here.
    var goldenGradient: Tensor { gradient ?? Tensor(repeating: 0, shape: tensor.shape) }
}

extension GoldenReport {
    /// Compares every gradient that a file holds under `prefix` and the parameter's name.
    func checkGradients(_ file: String, _ prefix: String, _ parameters: [Parameter]) throws {
        for parameter in parameters { try check(file, prefix + parameter.name, parameter.goldenGradient) }
    }
}
