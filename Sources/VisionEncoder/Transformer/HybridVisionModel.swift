public import NeuralNetwork
import Tensors

extension VisionTransformer {
    /// Reads a hybrid tower: `embeddings.stem.I`, `embeddings.projection`, `embeddings.position_embedding.weight`, and
    /// blocks under CLIP's names.
    public init(hybrid config: HybridVisionConfig, _ weights: WeightReader) {
        let shape = config.transformer
        let size = shape.hiddenSize
        let embeddings = weights.scoped("embeddings")
        let projection = embeddings.scoped("projection")
        let channels = config.stemChannels[config.stemChannels.count - 1]
        self.config = shape
        self.embeddings = PatchEmbedding(
            stem: ConvolutionStem(
                embeddings.scoped("stem"), inputChannels: shape.numChannels, channels: config.stemChannels),
            convolution: Convolution2D(
                ConvolutionStem.halving(channels, size), filters: projection.matrix("weight", [size, channels, 3, 3]),
                bias: projection.vector("bias", size)),
            classEmbedding: nil,
            positionEmbedding: embeddings.widened("position_embedding.weight", [shape.patchCount, size]),
            positionGrid: shape.grid)
        preNorm = nil
        blocks = (0..<shape.numHiddenLayers).map {
            VisionTransformerBlock(clip: shape, weights.scoped("encoder.layers.\($0)"))
        }
        postNorm = nil
    }
}
