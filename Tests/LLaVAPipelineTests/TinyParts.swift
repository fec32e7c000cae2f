import Foundation
import LanguageDecoder
import LLaVAPipeline
import ModelFiles
import Tensors
import TestSupport
import Tokenization

/// Parts of a small model with random weights, each in a place of its own.
struct TinyParts {
    static let config = LlamaConfig(
        vocabSize: 512, hiddenSize: 64, intermediateSize: 96, numHiddenLayers: 2, numAttentionHeads: 4,
        numKeyValueHeads: 2, maxPositionEmbeddings: 256, rmsNormEps: 1e-5, ropeTheta: 10_000, ropeScalingFactor: 1,
        tieWordEmbeddings: false)

    static let configJSON = """
        {"model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 96,
         "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
         "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": false, "hidden_act": "silu",
         "bos_token_id": 1, "eos_token_id": 2}
        """

    /// Weights of the decoder under the names of Hugging Face.
    static let decoderTensors: [String: Tensor] = {
        var weights = RandomWeights(seed: 71)
        weights.llama(vocabulary: 512, size: 64, intermediate: 96, layers: 2, keyValueSize: 32)
        return weights.tensors
    }()

    let root: URL
    /// A directory in Hugging Face's layout, with the tokenizer of the tiny model.
    var decoder: URL { root.appending(path: "decoder") }
    /// A DINOv2 tower that takes pictures of 20 x 20 pixels.
    var tower: URL { root.appending(path: "tower") }

    init() throws {
        root = try Fixtures.temporaryDirectory()
        let manager = FileManager.default
        for directory in [decoder, tower] {
            try manager.createDirectory(at: directory, withIntermediateDirectories: true)
        }
        try SafetensorsWriter.write(Self.decoderTensors, to: decoder.appending(path: "model.safetensors").path)
        try Data(Self.configJSON.utf8).write(to: decoder.appending(path: "config.json"))
        for name in ["tokenizer.model", "tokenizer_config.json"] {
            try manager.copyItem(at: TinyModel.directory.appending(path: name), to: decoder.appending(path: name))
        }
        try SafetensorsWriter.write(TinyDinov2().tensors, to: tower.appending(path: "model.safetensors").path)
        try Data(TinyDinov2.config.utf8).write(to: tower.appending(path: "config.json"))
        let processor = """
            {"image_processor_type": "BitImageProcessor", "do_resize": true, "size": {"shortest_edge": 22},
             "resample": 3, "do_center_crop": true, "crop_size": {"height": 20, "width": 20}, "do_rescale": true,
             "rescale_factor": 0.00392156862745098, "do_normalize": true, "image_mean": [0.485, 0.456, 0.406],
             "image_std": [0.229, 0.224, 0.225]}
            """
        try Data(processor.utf8).write(to: tower.appending(path: "preprocessor_config.json"))
    }

    /// A path in the same temporary directory.
    func path(_ name: String) -> String { root.appending(path: name).path }
}
