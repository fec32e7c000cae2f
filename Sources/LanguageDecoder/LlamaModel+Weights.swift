public import NeuralNetwork

extension LlamaModel {
    /// Reads a decoder under the names of Hugging Face's `LlamaForCausalLM`.
    /// - Parameters:
    ///   - weights: the whole checkpoint, unscoped.
    ///   - wrapping: makes the layer of an index from its weights; by default the plain layer.
    public init(
        _ config: LlamaConfig, _ weights: WeightReader,
        layer makeLayer: (Int, WeightReader) -> any DecoderLayer
    ) {
        let model = weights.scoped("model")
        let embedTokens = Embedding(model.scoped("embed_tokens"), count: config.vocabSize, size: config.hiddenSize)
        self.config = config
        self.embedTokens = embedTokens
        layers = (0..<config.numHiddenLayers).map { makeLayer($0, model.scoped("layers.\($0)")) }
        norm = RMSNorm(model.scoped("norm"), size: config.hiddenSize, epsilon: config.rmsNormEps)
        lmHead =
            config.tieWordEmbeddings
            ? Linear(weight: embedTokens.weight, quantizedTo: weights.blocks)
            : Linear(weights.scoped("lm_head"), inputs: config.hiddenSize, outputs: config.vocabSize, hasBias: false)
    }

    /// Reads a decoder of plain layers.
    public init(_ config: LlamaConfig, _ weights: WeightReader) {
        self.init(config, weights) { LlamaDecoderLayer(config, $1) }
    }
}

extension LlamaConfig {
    /// The tensors that fix all extents of a decoder, by name and shape.
    /// - Parameter firstLayer: name of a plain layer's weights, `model.layers.0` unless the layer is wrapped.
    public func anchors(firstLayer: String = "model.layers.0") -> [(name: String, shape: [Int])] {
        [
            ("model.embed_tokens.weight", [vocabSize, hiddenSize]),
            ("\(firstLayer).mlp.gate_proj.weight", [intermediateSize, hiddenSize]),
        ]
    }
}

extension LlamaDecoderLayer {
    /// Reads a layer under the reader's prefix.
    public init(_ config: LlamaConfig, _ weights: WeightReader) {
        let size = config.hiddenSize
        let keyValueSize = config.numKeyValueHeads * config.headSize
        func linear(_ name: String, _ inputs: Int, _ outputs: Int) -> Linear {
            Linear(weights.scoped(name), inputs: inputs, outputs: outputs, hasBias: false)
        }
        inputLayernorm = RMSNorm(weights.scoped("input_layernorm"), size: size, epsilon: config.rmsNormEps)
        postAttentionLayernorm = RMSNorm(
            weights.scoped("post_attention_layernorm"), size: size, epsilon: config.rmsNormEps)
        selfAttn = LlamaAttention(
            qProj: linear("self_attn.q_proj", size, size), kProj: linear("self_attn.k_proj", size, keyValueSize),
            vProj: linear("self_attn.v_proj", size, keyValueSize), oProj: linear("self_attn.o_proj", size, size),
            numAttentionHeads: config.numAttentionHeads, numKeyValueHeads: config.numKeyValueHeads)
        mlp = LlamaMLP(
            gateProj: linear("mlp.gate_proj", size, config.intermediateSize),
            upProj: linear("mlp.up_proj", size, config.intermediateSize),
            downProj: linear("mlp.down_proj", config.intermediateSize, size))
    }
}
