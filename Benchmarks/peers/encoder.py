"""Times a CLIP vision tower against PyTorch and llama.cpp with the same weights and picture, in turns: A B C A B C.

    python3 Benchmarks/peers/encoder.py VLM TOWER --torch PYTHON --llama PYTHON --text MODEL.gguf
                                        [--threads 2] [--rounds 3]

TOWER is a directory of a CLIPVisionModel in float32; PYTHON the interpreters that have PyTorch, and llama-cpp-python with
gguf; MODEL.gguf any decoder, which llama.cpp wants beside a tower. Ours runs as stored and in int8, llama.cpp with float16
weights as its own converter writes them. All compute the state before the last block; the two peers are compared with each
other first, so that both do that. Each turn is a process of its own that encodes once to warm up, then gives the median.
Prints JSON: medians, spreads (largest over smallest), and how many times as fast ours is in every round. On a machine that
others use, the ratios mean more than the times.
"""

import argparse
import ctypes
import json
import math
import mmap
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def tensors(directory):
    """The float32 tensors of a safetensors file, by name."""
    import numpy

    file = open(os.path.join(directory, "model.safetensors"), "rb")
    data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", f"{name} is {entry['dtype']}"
        start, end = entry["data_offsets"]
        array = numpy.frombuffer(data, numpy.float32, (end - start) // 4, 8 + length + start)
        found[name.removeprefix("vision_model.")] = array.reshape(entry["shape"])
    return found


def shape(directory):
    with open(os.path.join(directory, "config.json")) as file:
        return json.load(file)


def picture(side):
    """Bytes of a smooth picture, [side, side, 3]."""
    import numpy

    y, x = numpy.mgrid[:side, :side]
    channels = [128 + 100 * numpy.sin(x * 0.05 + c) * numpy.cos(y * 0.03 - c) for c in range(3)]
    return numpy.stack(channels, -1).astype(numpy.uint8)


def projector(hidden, width):
    """Weights of the two layers that llama.cpp wants behind a tower; too small to matter for its time."""
    import numpy

    random = numpy.random.default_rng(7)
    return [random.standard_normal(size, numpy.float32) / math.sqrt(size[1]) for size in ((width, hidden), (width, width))]


def write_png(pixels, path):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)))
        file.write(chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def timed(encode, repeats):
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        result = encode()
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[1:]), result


def torch_times(arguments):
    """PyTorch in float32, attention as torch.nn.functional.scaled_dot_product_attention."""
    import numpy
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(arguments.threads)
    config = shape(arguments.tower)
    w = {name: torch.from_numpy(array.copy()) for name, array in tensors(arguments.tower).items()}
    heads, hidden, eps = config["num_attention_heads"], config["hidden_size"], config["layer_norm_eps"]
    side, patch = config["image_size"], config["patch_size"]
    pixels = torch.from_numpy(picture(side)).float() / 255
    pixels = ((pixels - torch.tensor(MEAN)) / torch.tensor(DEVIATION)).permute(2, 0, 1)[None].contiguous()

    def norm(x, name):
        return F.layer_norm(x, (hidden,), w[name + ".weight"], w[name + ".bias"], eps)

    def linear(x, name):
        return F.linear(x, w[name + ".weight"], w[name + ".bias"])

    def encode():
        with torch.inference_mode():
            x = F.conv2d(pixels, w["embeddings.patch_embedding.weight"], stride=patch).flatten(2).transpose(1, 2)
            x = torch.cat([w["embeddings.class_embedding"].reshape(1, 1, -1), x], 1)
            x = norm(x + w["embeddings.position_embedding.weight"], "pre_layrnorm")
            for layer in range(config["num_hidden_layers"] - 1):
                prefix = f"encoder.layers.{layer}."
                h = norm(x, prefix + "layer_norm1")
                q, k, v = (
                    linear(h, prefix + f"self_attn.{part}_proj").unflatten(2, (heads, -1)).transpose(1, 2) for part in "qkv")
                h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
                x = x + linear(h, prefix + "self_attn.out_proj")
                h = linear(norm(x, prefix + "layer_norm2"), prefix + "mlp.fc1")
                x = x + linear(h * torch.sigmoid(1.702 * h), prefix + "mlp.fc2")
            return x

    milliseconds, states = timed(encode, arguments.repeats)
    first, second = (torch.from_numpy(part) for part in projector(hidden, arguments.width))
    projected = F.linear(F.gelu(F.linear(states[0, 1:], first)), second)
    numpy.save(arguments.output, projected.numpy())
    return milliseconds


def write_mmproj(arguments, path):
    """The tower as llama.cpp reads it: float16 matrices, the rest float32."""
    import gguf
    import numpy

    config = shape(arguments.tower)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_bool("clip.use_gelu", False)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_uint32("clip.vision.image_size", config["image_size"])
    writer.add_uint32("clip.vision.patch_size", config["patch_size"])
    writer.add_uint32("clip.vision.embedding_length", config["hidden_size"])
    writer.add_uint32("clip.vision.feed_forward_length", config["intermediate_size"])
    writer.add_uint32("clip.vision.projection_dim", config["projection_dim"])
    writer.add_uint32("clip.vision.attention.head_count", config["num_attention_heads"])
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", config["layer_norm_eps"])
    writer.add_uint32("clip.vision.block_count", config["num_hidden_layers"])
    writer.add_array("clip.vision.image_mean", list(MEAN))
    writer.add_array("clip.vision.image_std", list(DEVIATION))
    names = {
        "embeddings.class_embedding": "v.class_embd", "embeddings.patch_embedding.weight": "v.patch_embd.weight",
        "embeddings.position_embedding.weight": "v.position_embd.weight", "pre_layrnorm": "v.pre_ln",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.out_proj": "attn_out", "layer_norm1": "ln1", "layer_norm2": "ln2", "mlp.fc1": "ffn_up",
        "mlp.fc2": "ffn_down",
    }
    found = tensors(arguments.tower)
    for name, part in zip(("mm.0.weight", "mm.2.weight"), projector(config["hidden_size"], arguments.width)):
        found[name] = part
        found[name.replace("weight", "bias")] = numpy.zeros(arguments.width, numpy.float32)
    for name, array in found.items():
        parts = name.split(".")
        if name.startswith("encoder.layers."):
            name = ".".join(["v.blk", parts[2], names[".".join(parts[3:-1])], parts[-1]])
        elif name not in names and ".".join(parts[:-1]) in names:
            name = names[".".join(parts[:-1])] + "." + parts[-1]
        else:
            name = names.get(name, name)
        is_matrix = array.ndim >= 2 and "position_embd" not in name
        writer.add_tensor(name, array.astype(numpy.float16) if is_matrix else numpy.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama_times(arguments):
    """llama.cpp's multimodal library."""
    import llama_cpp
    import llama_cpp.mtmd_cpp as mtmd
    import numpy

    if not os.path.exists(arguments.mmproj):
        write_mmproj(arguments, arguments.mmproj)
    text = llama_cpp.Llama(arguments.text, n_ctx=1024, n_threads=arguments.threads, verbose=False)
    parameters = mtmd.mtmd_context_params_default()
    parameters.use_gpu, parameters.n_threads, parameters.warmup = False, arguments.threads, False
    context = mtmd.mtmd_init_from_file(arguments.mmproj.encode(), text._model.model, parameters)
    assert context, "llama.cpp does not read the tower"
    pixels = picture(shape(arguments.tower)["image_size"])
    data = (ctypes.c_uint8 * pixels.size).from_buffer_copy(pixels.tobytes())
    bitmap = mtmd.mtmd_bitmap_init(pixels.shape[1], pixels.shape[0], data)
    marker = mtmd.mtmd_default_marker()
    words = mtmd.mtmd_input_text(text=marker, text_len=len(marker), add_special=True, parse_special=True)
    chunks = mtmd.mtmd_input_chunks_init()
    status = mtmd.mtmd_tokenize(context, chunks, ctypes.byref(words), (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap), 1)
    assert status == 0, f"mtmd_tokenize: {status}"
    all_chunks = [mtmd.mtmd_input_chunks_get(chunks, i) for i in range(mtmd.mtmd_input_chunks_size(chunks))]
    image = next(c for c in all_chunks if mtmd.mtmd_input_chunk_get_type(c) == 1)

    def encode():
        assert mtmd.mtmd_encode_chunk(context, image) == 0

    milliseconds, _ = timed(encode, arguments.repeats)
    count = mtmd.mtmd_input_chunk_get_n_tokens(image)
    values = numpy.ctypeslib.as_array(mtmd.mtmd_get_output_embd(context), shape=(count, arguments.width))
    numpy.save(arguments.output, values)
    return milliseconds


def our_times(arguments, picture_path):
    command = [arguments.vlm, "bench", "encoder", "--vision-tower", arguments.tower, "--image", picture_path]
    command += ["--threads", str(arguments.threads), "--repeats", str(arguments.repeats), "--forms", "stored,int8"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {form["weights"]: form["milliseconds"] for form in report["forms"]}, report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vlm")
    parser.add_argument("tower")
    parser.add_argument("--torch", required=True)
    parser.add_argument("--llama", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--width", type=int, default=576, help="width of the decoder MODEL.gguf")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    for hidden in ("--peer", "--mmproj", "--output"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        print(json.dumps({"torch": torch_times, "llama": llama_times}[arguments.peer](arguments)))
        return

    times = {"stored": [], "int8": [], "PyTorch": [], "llama.cpp": []}
    with tempfile.TemporaryDirectory() as work:
        def peer(name, python):
            command = [python, *sys.argv, "--peer", name, "--output", f"{work}/{name}.npy", "--mmproj", f"{work}/mmproj.gguf"]
            return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])

        helper = f"import sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r}); import encoder; "
        png = f"{work}/picture.png"
        side = shape(arguments.tower)["image_size"]
        subprocess.run([arguments.llama, "-c", helper + f"encoder.write_png(encoder.picture({side}), {png!r})"], check=True)
        for _ in range(arguments.rounds):
            ours, report = our_times(arguments, png)
            for form, milliseconds in ours.items():
                times[form].append(milliseconds)
            times["PyTorch"].append(peer("torch", arguments.torch))
            times["llama.cpp"].append(peer("llama", arguments.llama))
        # llama.cpp 0.3.36 puts the class token behind the patches and still takes the tokens from 1 on as patches: its first
        # is the second patch, its last the class token.
        compare = (
            f"import numpy; a, b = (numpy.load(p).astype(float) for p in ({work + '/torch.npy'!r}, {work + '/llama.npy'!r})); "
            "a, b = a[1:], b[:-1]; print((a * b).sum() / numpy.sqrt((a * a).sum() * (b * b).sum()))")
        cosine = float(subprocess.run([arguments.llama, "-c", compare], check=True, stdout=subprocess.PIPE).stdout)
    assert cosine > 0.99, f"PyTorch and llama.cpp compute different things: cosine {cosine}"
    result = {
        "tower": arguments.tower, "threads": arguments.threads, "rounds": arguments.rounds,
        "float32_gflops": report["float32_gflops"], "gflop": report["gflop"],
        "cosine_of_peers": round(cosine, 6), "drift_of_int8": report["forms"][1]["drift"],
        "milliseconds": {name: round(statistics.median(values), 1) for name, values in times.items()},
        "spread": {name: round(max(values) / min(values), 2) for name, values in times.items()},
        "times_as_fast": {
            form: {
                name: [round(theirs / own, 2) for own, theirs in zip(times[form], times[name])]
                for name in ("PyTorch", "llama.cpp")
            } for form in ("stored", "int8")
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
