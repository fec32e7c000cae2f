#!/usr/bin/env python3
"""Writes fixtures/images/shapes.png: a red circle, a blue square and a green triangle on a light ground. Needs numpy."""
import pathlib
import struct
import zlib

import numpy as np

width, height, samples = 480, 320, 4
y, x = np.mgrid[0:height * samples, 0:width * samples] / samples

image = np.empty((height * samples, width * samples, 3))
image[:] = (244, 238, 226)
image[y > 236] = (214, 202, 184)
image[(x - 118) ** 2 + (y - 170) ** 2 < 78 ** 2] = (205, 54, 48)
image[(abs(x - 262) < 58) & (abs(y - 196) < 58)] = (43, 92, 176)
image[(y < 252) & (y - 110 > 1.6 * abs(x - 396)) ] = (58, 145, 83)

# Averaging the samples of each pixel smooths the edges.
pixels = image.reshape(height, samples, width, samples, 3).mean((1, 3)).round().astype(np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


rows = b"".join(b"\0" + row.tobytes() for row in pixels)
header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
path = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "images" / "shapes.png"
path.parent.mkdir(parents=True, exist_ok=True)
path.write_bytes(png)
