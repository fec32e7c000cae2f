"""Compares traces of the ViT-S with ONNX Runtime. Usage: compare-onnx-runtime.py VLM PHOTOGRAPHS"""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from PIL import Image

CACHE = pathlib.Path(__file__).resolve().parent.parent / "fixtures/.cache"
VIT = CACHE / "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355/vit_s_focus.onnx"
SMOLLM2 = CACHE / "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53/SmolLM2-135M-Instruct.Q4_1.gguf"
PHOTOGRAPHS = [
    "astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "hubble_deep_field.jpg", "moon.png",
    "motorcycle_left.png", "retina.jpg", "rocket.jpg",
]
# Crop, and the length the shorter side is resized to.
SIZES = [(224, 256), (322, 368)]
BLOCKS = [1, 4, 8, 12]
TOLERANCE = 5e-4


def session():
    """The graph with the states after some blocks as outputs, its input of any size."""
    model = onnx.load(VIT)
    del model.graph.output[:]
    for name in states():
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    for axis, label in [(2, "height"), (3, "width")]:
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = label
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def states():
    return [f"/backbone/encoder/layer.{block - 1}/Add_1_output_0" for block in BLOCKS]


def pixel_values(path, crop, edge):
    """The steps of Hugging Face's BitImageProcessor with Pillow, float32 [1, 3, crop, crop]."""
    image = Image.open(path).convert("RGB")
    short, long = sorted(image.size)
    resized = int(edge * long / short)
    image = image.resize((edge, resized) if image.width <= image.height else (resized, edge), Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    top, left = (pixels.shape[0] - crop) // 2, (pixels.shape[1] - crop) // 2
    pixels = pixels[top : top + crop, left : left + crop].transpose(2, 0, 1)
    mean = np.array([0.485, 0.456, 0.406], np.float32)[:, None, None]
    std = np.array([0.229, 0.224, 0.225], np.float32)[:, None, None]
    return (((pixels * (1 / 255.0)).astype(np.float32) - mean) / std)[None]


def trace(vlm, model, image, directory):
    out = directory / "trace.safetensors"
    subprocess.run(
        [vlm, "trace", "--model", model, "--image", image, "--ids=-200", "--out", out], check=True,
        stderr=subprocess.DEVNULL)
    data = out.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])

    def tensor(name):
        start, end = header[name]["data_offsets"]
        return np.frombuffer(data[8 + length + start : 8 + length + end], np.float32).reshape(header[name]["shape"])

    return tensor


def model(vlm, directory, crop, edge):
    """The tower with a projector and SmolLM2, for pictures of a size."""
    tower = directory / f"tower-{crop}"
    subprocess.run([vlm, "convert", VIT, tower], check=True, stderr=subprocess.DEVNULL)
    path = tower / "preprocessor_config.json"
    config = json.loads(path.read_text())
    config["size"], config["crop_size"] = {"shortest_edge": edge}, {"height": crop, "width": crop}
    path.write_text(json.dumps(config))
    out = directory / f"model-{crop}"
    subprocess.run(
        [vlm, "assemble", "--vision-tower", tower, "--decoder", SMOLLM2, "--projector", "1", out], check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return out


def main():
    vlm, photographs = sys.argv[1], pathlib.Path(sys.argv[2])
    reference, worst = session(), 0.0
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        for crop, edge in SIZES:
            path = model(vlm, directory, crop, edge)
            for photograph in PHOTOGRAPHS:
                pixels = pixel_values(photographs / photograph, crop, edge)
                tensor = trace(vlm, path, photographs / photograph, directory)
                steps = float(np.abs(tensor("pixel_values") - pixels).max())
                expected = reference.run(states(), {"input_image": pixels})
                differences = [
                    float(np.abs(tensor(f"vision.hidden.{block}") - state).max()) for block, state in zip(BLOCKS, expected)
                ]
                scale = float(np.abs(expected[-1]).max())
                print(
                    f"{crop} {photograph}: pixel values {steps:.2g}; after blocks {BLOCKS}: "
                    + ", ".join(f"{d:.2g}" for d in differences) + f" (largest element {scale:.3g})", flush=True)
                worst = max(worst, *differences) if steps == 0 else float("inf")
    print(f"{len(PHOTOGRAPHS)} photographs at {len(SIZES)} sizes: largest difference {worst:.2g}, allowed {TOLERANCE}")
    sys.exit(0 if worst <= TOLERANCE else 1)


main()
