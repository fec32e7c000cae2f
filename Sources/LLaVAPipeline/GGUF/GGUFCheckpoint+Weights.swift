import LanguageDecoder
import ModelFiles
import Tensors

extension GGUFCheckpoint {
    /// Names outside the layers: of llama.cpp, of Hugging Face.
    static let names = [
        ("token_embd.weight", "model.embed_tokens.weight"), ("output_norm.weight", "model.norm.weight"),
        ("output.weight", "lm_head.weight"),
    ]

    /// Names inside a layer, after `blk.N.` and `model.layers.N.`.
    static let layerNames = [
        ("attn_norm.weight", "input_layernorm.weight"), ("attn_q.weight", "self_attn.q_proj.weight"),
        ("attn_k.weight", "self_attn.k_proj.weight"), ("attn_v.weight", "self_attn.v_proj.weight"),
        ("attn_output.weight", "self_attn.o_proj.weight"), ("ffn_norm.weight", "post_attention_layernorm.weight"),
        ("ffn_gate.weight", "mlp.gate_proj.weight"), ("ffn_up.weight", "mlp.up_proj.weight"),
        ("ffn_down.weight", "mlp.down_proj.weight"),
    ]

    /// What the router of a layer is called in files of ours, after `blk.N.`.
    static let routerName = "mod_router"

    /// What stands before `weight` and `bias` of a layer's router in a checkpoint.
    static func routerPrefix(_ layer: Int) -> String { "model.layers.\(layer).router.router." }

    /// The layers that have a router.
    static func routedLayers(_ layers: Int, _ hasRouter: (Int) -> Bool) -> Set<Int> {
        Set((0..<layers).filter(hasRouter))
    }

    /// The name of Hugging Face for each of llama.cpp; in `routed` layers also those of a router, whose bias may be
    /// missing.
    static func huggingFaceNames(layers: Int, routed: Set<Int> = []) -> [String: String] {
        var result = Dictionary(uniqueKeysWithValues: names)
        for layer in 0..<layers {
            let wrapper = routed.contains(layer) ? "decoder_layer." : ""
            for (name, other) in layerNames {
                result["blk.\(layer).\(name)"] = "model.layers.\(layer).\(wrapper)\(other)"
            }
            for part in ["weight", "bias"] where routed.contains(layer) {
                result["blk.\(layer).\(routerName).\(part)"] = routerPrefix(layer) + part
            }
        }
        return result
    }

    /// The tensors under the names and with the order of rows that the decoder reads.
    func llamaTensors(_ config: LlamaConfig) throws -> [String: Tensor] {
        let routed = Self.routedLayers(architecture == Self.mixtureOfDepths ? config.numHiddenLayers : 0) {
            file.tensors["blk.\($0).\(Self.routerName).weight"] != nil
        }
        let names = Self.huggingFaceNames(layers: config.numHiddenLayers, routed: routed)
        let unknown = file.tensors.keys.filter { names[$0] == nil }.sorted()
        guard unknown.isEmpty else {
            throw CheckpointError.unexpectedValue(
                file: file.path, key: unknown[0],
                expected: "a tensor of a LLaMA decoder of \(config.numHiddenLayers) layers",
                got: "one of \(unknown.count) with no place in it")
        }
        var tensors: [String: Tensor] = [:]
        for (name, tensor) in file.tensors {
            guard let other = names[name] else { continue }
            tensors[other] =
                try RotaryRowOrder(of: name, config)?.halfSplit(tensor, named: name, file: file.path) ?? tensor
        }
        return tensors
    }
}

/// The order of the rows of a query or key projection.
///
/// Rotary embedding turns pairs of a head's elements. Hugging Face and this decoder pair element j with j + K/2; llama.cpp
/// pairs 2j with 2j + 1, for which its converter moves row j + s K/2 of a head to 2j + s.
struct RotaryRowOrder {
    let heads: Int
    let headSize: Int

    /// The order of a tensor by llama.cpp's name; nil if its rows stay where they are.
    init?(of name: String, _ config: LlamaConfig) {
        if name.hasSuffix(".attn_q.weight") {
            heads = config.numAttentionHeads
        } else if name.hasSuffix(".attn_k.weight") {
            heads = config.numKeyValueHeads
        } else {
            return nil
        }
        headSize = config.headSize
    }

    /// A matrix in llama.cpp's order in that of Hugging Face. Whole rows move, when
    /// they are read, so blocks stay as they are.
    /// - Throws: `CheckpointError.invalidShape` unless the rows are those of the heads.
    func halfSplit(_ tensor: Tensor, named name: String, file: String) throws -> Tensor {
        try check(tensor, named: name, file: file)
        return tensor.evenRowsFirst(inRunsOf: headSize)
    }

    /// A matrix in Hugging Face's order in that of llama.cpp.
    func interleaved(_ tensor: Tensor, named name: String, file: String) throws -> Tensor {
        try check(tensor, named: name, file: file)
        let half = headSize / 2
        return tensor.storedRows(
            (0..<heads * headSize).map { row in
                let (head, element) = row.quotientAndRemainder(dividingBy: headSize)
                return head * headSize + element / 2 + element % 2 * half
            })
    }

    private func check(_ tensor: Tensor, named name: String, file: String) throws {
        guard tensor.rank == 2, tensor.rows == heads * headSize else {
            throw CheckpointError.unexpectedValue(
                file: file, key: name, expected: "a matrix of \(heads * headSize) rows", got: "of shape \(tensor.shape)"
            )
        }
    }
}
