#!/usr/bin/env python3
"""Records what others make of the weights in Tests/TensorsTests/QuantizerGoldenTests.swift: the SHA-256 of the blocks of
the gguf package, which holds ggml's reference quantisers, and the errors of llama.cpp's own search for scales.

    fixtures/.cache/llama-cpp/bin/python scripts/record-quantizer-golden.py     # built by scripts/compare-llama-cpp
"""
import ctypes
import hashlib

import gguf
import llama_cpp.llama_cpp  # loads ggml's libraries
import numpy as np
from gguf import GGMLQuantizationType as Type, quants


def weights(rows=64, columns=512):
    """Sums of four uniform numbers, exact in float32; rows differ in scale, and some are shifted or constant."""
    state, values = 1, np.zeros((rows, columns), np.float32)
    for row in range(rows):
        for column in range(columns):
            total = 0
            for _ in range(4):
                state = (state * 1664525 + 1013904223) % 2**32
                total += (state >> 11) - 2**20
            values[row, column] = total * 2.0**-20 * 2.0 ** (row % 13 - 9)
    values[3] = np.abs(values[3])
    values[5] = -np.abs(values[5])
    values[7] = 0
    values[9] = 0.375
    return values


def main():
    x = weights()
    print(f"weights {hashlib.sha256(x.tobytes()).hexdigest()}")
    for kind in (Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1):
        print(f"{kind.name} {hashlib.sha256(quants.quantize(x, kind).tobytes()).hexdigest()}")
    base = gguf.__file__ and llama_cpp.llama_cpp._lib
    for kind in (Type.Q4_K, Type.Q5_K, Type.Q6_K):
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = np.zeros(x.size // elements * size, np.uint8)
        quantize = base.ggml_quantize_chunk
        quantize.restype = ctypes.c_size_t
        quantize(
            ctypes.c_int(kind.value), x.ctypes.data_as(ctypes.c_void_p), blocks.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(0), ctypes.c_int64(x.shape[0]), ctypes.c_int64(x.shape[1]), None)
        back = quants.dequantize(blocks.reshape(x.shape[0], -1), kind)
        error = np.sqrt(((back - x).astype(np.float64) ** 2).sum() / (x.astype(np.float64) ** 2).sum())
        print(f"{kind.name} relative error {error:.6f}")


if __name__ == "__main__":
    main()
