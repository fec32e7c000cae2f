import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import NeuralNetwork
import Tensors
import TestSupport
import Testing

@Suite struct LlamaGoldenTests {
    @Test("the decoder equals Hugging Face's in prefill, cache, greedy decoding and loss")
    func decoder() throws {
        let stage = try GoldenStage("llama")
        let report = GoldenReport(stage)
        for file in stage.files(ofKind: "data") {
            let directory = try #require(stage.modelDirectory(for: file))
            let model = try LlamaModel.golden(stage, directory)
            let data = try report.data(file)

            if let ids = data["input_ids"]?.integers {
                report.input(file, "input_ids")
                try prefill(model, ids, report, file)
                try greedy(model, ids, steps: try #require(data["greedy.tokens"]?.count), report, file)
            }
            if let embeds = data["small.inputs_embeds"] {
                try report.check(file, "small.logits", model.goldenLogits(embeds.matrix))
            }
            if let ids = data["train.input_ids"], let mask = data["train.attention_mask"],
                let labels = data["train.labels"]
            {
                report.input(file, "train.input_ids", "train.attention_mask", "train.labels")
                let trained = try LLaVAModel.load(from: stage.path(directory), options: .training)
                let model = trained.decoder
                let rows = (0..<ids.shape[0]).map { row in
                    let length = mask[row].integers.reduce(0, +)
                    let embeds = model.embedTokens(Array(ids[row].integers.prefix(length)))
                    return (
                        hidden: model.hiddenStates(ofSequence: embeds),
                        labels: Array(labels[row].integers.prefix(length))
                    )
                }
                let loss = model.meanLoss(rows)
                try report.check(file, "train.loss", loss)
                loss.backward()
                try report.checkGradients(file, "train.grad.", trained.parameters)
            }
        }
        report.finish()
    }

    private func prefill(_ model: LlamaModel, _ ids: [Int], _ report: GoldenReport, _ file: String) throws {
        let trace = Trace()
        var cache = KVCache(model.config)
        let h = model.hiddenStates(model.embedTokens(ids), cache: &cache, trace: trace)
        try report.check(file, "prefill.logits", model.logits(h))
        for layer in 0...model.config.numHiddenLayers {
            try report.check(file, "prefill.hidden_states.\(layer)", trace.tensors["decoder.hidden.\(layer)"])
        }
        for (layer, entry) in cache.layers.enumerated() {
            let heads = model.config.numKeyValueHeads
            try report.check(file, "prefill.key_cache.\(layer)", entry.keyTensor.headsFirst(heads))
            try report.check(file, "prefill.value_cache.\(layer)", entry.valueTensor.headsFirst(heads))
        }
    }

    private func greedy(
        _ model: LlamaModel, _ ids: [Int], steps: Int, _ report: GoldenReport, _ file: String
    ) throws {
        let prompt = try MultimodalPrompt(ids: ids, images: [], embedTokens: model.embedTokens, target: nil)
        try checkGreedy(
            model, prompt, steps: steps, report, file, tokens: "greedy.tokens", logits: "greedy.logits")
    }
}

/// Compares greedy decoding with recorded tokens and the logits behind them.
func checkGreedy(
    _ model: LlamaModel, _ prompt: MultimodalPrompt, steps: Int, _ report: GoldenReport, _ file: String,
    tokens: String, logits: String?
) throws {
    var generation = try Generation(
        model, prompt, sampling: SamplingOptions(), maximumTokens: steps, endTokens: [], keepsLogits: true)
    while generation.next() != nil {}
    try report.check(file, tokens, Tensor(integers: generation.tokens, shape: [generation.tokens.count]))
    if let logits { try report.check(file, logits, Tensor.concatenatingRows(generation.logits)) }
}

extension LlamaModel {
    /// The model of a directory of a golden stage, with mixture of depths if its configuration says so.
    static func golden(_ stage: GoldenStage, _ directory: String) throws -> LlamaModel {
        try LLaVAModel.load(from: stage.path(directory)).decoder
    }

    /// Logits of a whole sequence of embeddings `[T, D]`.
    func goldenLogits(_ embeds: Tensor, skippable: [Bool]? = nil) -> Tensor {
        var cache = KVCache(config)
        return logits(hiddenStates(embeds, skippable: skippable, cache: &cache))
    }
}

extension Tensor {
    /// A tensor `[1, T, D]` as `[T, D]`.
    var matrix: Tensor { reshaped(to: [count / columns, columns]) }

    /// `[T, heads · d]` as `[heads, T, d]`.
    func headsFirst(_ heads: Int) -> Tensor {
        let (rows, size, values) = (rows, columns / heads, floats)
        var result: [Float] = []
        for head in 0..<heads {
            for row in 0..<rows { result += values[row * columns + head * size..<row * columns + (head + 1) * size] }
        }
        return Tensor(result, shape: [heads, rows, size])
    }
}
