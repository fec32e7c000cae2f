#!/usr/bin/env python3
"""Writes fixtures/tiny-model: a complete vision-language checkpoint with random weights.

It has every part the pipeline knows (CLIP tower, Matryoshka query transformer, LLaMA decoder with mixture of depths)
in the original LLaVA layout, so that `vlm ask` can run on a fresh clone before a trained model ships. Its answers mean
nothing, and config.json says so ("untrained"). The tokenizer comes from make-tiny-tokenizer.py.

    scripts/make-tiny-model.py [directory]        # needs numpy only; the same bytes every time
"""
import json
import math
import pathlib
import struct
import sys

import numpy as np

root = pathlib.Path(__file__).resolve().parent.parent
out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "fixtures" / "tiny-model"
rng = np.random.default_rng(20261122)

vision = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4, image_size=96,
              patch_size=8, num_channels=3, hidden_act="quick_gelu", layer_norm_eps=1e-5)
llama = dict(vocab_size=512, hidden_size=64, intermediate_size=160, num_hidden_layers=12, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=2048, rms_norm_eps=1e-5, rope_theta=10000.0,
             tie_word_embeddings=False)
queries = 64

tensors = {}


def normal(name, *shape, scale=None):
    fan_in = shape[-1] if len(shape) > 1 else 1
    scale = scale if scale is not None else 1 / math.sqrt(fan_in)
    tensors[name] = (rng.standard_normal(shape) * scale).astype(np.float16)


def constant(name, value, *shape):
    tensors[name] = np.full(shape, value, np.float16)


def norm(name, size, bias=True):
    constant(name + ".weight", 1, size)
    if bias:
        constant(name + ".bias", 0, size)


def linear(name, inputs, outputs, bias=False):
    normal(name + ".weight", outputs, inputs)
    if bias:
        constant(name + ".bias", 0, outputs)


# CLIP tower, under the names a LLaVA checkpoint keeps it by.
tower, size = "model.vision_tower.vision_tower.vision_model.", vision["hidden_size"]
patches = (vision["image_size"] // vision["patch_size"]) ** 2
normal(tower + "embeddings.class_embedding", size, scale=0.5)
normal(tower + "embeddings.patch_embedding.weight", size, 3, vision["patch_size"], vision["patch_size"], scale=0.1)
normal(tower + "embeddings.position_embedding.weight", patches + 1, size, scale=0.3)
norm(tower + "pre_layrnorm", size)
norm(tower + "post_layernorm", size)
for layer in range(vision["num_hidden_layers"]):
    block = f"{tower}encoder.layers.{layer}."
    for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
        linear(block + "self_attn." + part, size, size, bias=True)
    linear(block + "mlp.fc1", size, vision["intermediate_size"], bias=True)
    linear(block + "mlp.fc2", vision["intermediate_size"], size, bias=True)
    norm(block + "layer_norm1", size)
    norm(block + "layer_norm2", size)

# Query transformer.
mqt, width = "model.query_abstractor.", llama["hidden_size"]
normal(mqt + "query", queries, size, scale=0.5)
normal(mqt + "pos_embed", queries, size, scale=0.7)
normal(mqt + "proj", size, width, scale=1 / math.sqrt(size))
normal(mqt + "attn.in_proj_weight", 3 * size, size, scale=2 / math.sqrt(size))
constant(mqt + "attn.in_proj_bias", 0, 3 * size)
linear(mqt + "attn.out_proj", size, size, bias=True)
for name in ("ln_q", "ln_k", "ln_v"):
    norm(mqt + name, size)

# Decoder; layers whose retention ratio is at most 0.85 are mixture-of-depths layers.
head = width // llama["num_attention_heads"]
normal("model.embed_tokens.weight", llama["vocab_size"], width, scale=1)
for layer in range(llama["num_hidden_layers"]):
    is_mod = math.cos(layer * math.pi / 31) / 2 + 0.5 <= 0.85
    prefix = f"model.layers.{layer}."
    if is_mod:
        normal(prefix + "router.router.weight", 1, width, scale=0.2)
        constant(prefix + "router.router.bias", 0, 1)
        prefix += "decoder_layer."
    for part, outputs in (("q_proj", width), ("k_proj", head * llama["num_key_value_heads"]),
                          ("v_proj", head * llama["num_key_value_heads"]), ("o_proj", width)):
        linear(prefix + "self_attn." + part, width, outputs)
    linear(prefix + "mlp.gate_proj", width, llama["intermediate_size"])
    linear(prefix + "mlp.up_proj", width, llama["intermediate_size"])
    linear(prefix + "mlp.down_proj", llama["intermediate_size"], width)
    norm(prefix + "input_layernorm", width, bias=False)
    norm(prefix + "post_attention_layernorm", width, bias=False)
norm("model.norm", width, bias=False)
linear("lm_head", width, llama["vocab_size"])

config = {
    "architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava_llama", "untrained": True, "conversation_template": "vicuna_v1", **llama,
    "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float16",
    "mm_vision_tower": "tiny-clip", "mm_hidden_size": size, "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch", "mm_projector_type": "linear", "mm_patch_merge_type": "flat",
    "image_aspect_ratio": "pad", "query_abstractor_type": "matry_query", "num_visual_tokens": queries,
    "mod_target_layers": "shiftedcos_decay_0.85_0.15", "mod_target_token_type": "vision_all",
    "mod_router_factor": 0.5, "mod_weight_norm": "tanh_0.2_1", "mod_bias_enabled": True,
}
side = vision["image_size"]
processor = {
    "image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": side}, "resample": 3,
    "do_center_crop": True, "crop_size": {"height": side, "width": side}, "do_rescale": True,
    "rescale_factor": 1 / 255, "do_normalize": True, "do_convert_rgb": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


write_json(out / "config.json", config)
write_json(out / "vision_tower" / "config.json", {"model_type": "clip_vision_model", **vision})
write_json(out / "vision_tower" / "preprocessor_config.json", processor)

offset, header = 0, {"__metadata__": {"format": "pt"}}
for name in sorted(tensors):
    size_in_bytes = tensors[name].nbytes
    header[name] = {"dtype": "F16", "shape": list(tensors[name].shape), "data_offsets": [offset, offset + size_in_bytes]}
    offset += size_in_bytes
text = json.dumps(header, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)
with open(out / "model.safetensors", "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text)
    for name in sorted(tensors):
        file.write(tensors[name].tobytes())
print(f"{out}: {len(tensors)} tensors, {offset} bytes")
