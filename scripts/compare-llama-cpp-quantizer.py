"""Compares the files of vlm quantize with those of llama.cpp's quantiser. Usage: compare-llama-cpp-quantizer.py VLM F16.gguf

Types and blocks of 32 must be the same; of blocks of 256, for which everybody searches scales in their own way, the error
must not be larger. Prints a line for each type; fails if one of them is worse.
"""

import ctypes
import os
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import numpy

# Names of ours, and llama_ftype.
TYPES = {"q8_0": 7, "q5_1": 9, "q5_0": 8, "q4_1": 3, "q4_0": 2, "q6_k": 18}


def tensors(path):
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def values(tensor):
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float64)


def relative_error(tensor, original):
    return float(numpy.sqrt(((values(tensor) - original) ** 2).sum() / (original**2).sum()))


def compare(vlm, source, name, ftype, directory):
    ours, theirs = (os.path.join(directory, f"{who}.{name}.gguf") for who in ("ours", "theirs"))
    subprocess.run(
        [vlm, "quantize", source, ours, "--type", name], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype, parameters.nthread = ftype, 1
    if llama_cpp.llama_model_quantize(source.encode(), theirs.encode(), ctypes.byref(parameters)) != 0:
        sys.exit(f"llama.cpp could not write {name}")
    a, b, originals = tensors(ours), tensors(theirs), tensors(source)
    if a.keys() != b.keys():
        sys.exit(f"{name}: other tensors than llama.cpp's: {sorted(a.keys() ^ b.keys())}")
    same_type = [key for key in a if a[key].tensor_type == b[key].tensor_type]
    differing = [key for key in same_type if not numpy.array_equal(a[key].data, b[key].data)]
    searched = [key for key in differing if a[key].tensor_type.name.endswith("_K")]
    worse = 0
    errors = ""
    if searched:
        pairs = [
            (relative_error(a[key], values(originals[key])), relative_error(b[key], values(originals[key])))
            for key in searched
        ]
        worse = sum(one > other for one, other in pairs)
        mean = [100 * sum(column) / len(pairs) for column in zip(*pairs)]
        errors = f"; of {len(searched)} in blocks of 256 ours are off by {mean[0]:.3f} %, llama.cpp's by {mean[1]:.3f} %, {worse} worse"
    print(
        f"{name}: {len(a)} tensors, {len(same_type)} of the same type, "
        f"{len(same_type) - len(differing)} with the same bytes{errors}",
        flush=True,
    )
    return len(a) - len(same_type) + len(differing) - len(searched) + worse


def main():
    vlm, source = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        sys.exit(1 if sum(compare(vlm, source, *item, directory) for item in TYPES.items()) else 0)


main()
