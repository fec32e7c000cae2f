"""Times convolutions and attention against PyTorch, and a tower against ONNX Runtime, in turns with ours: A B A B.

    python3 Benchmarks/peers/kernels.py KERNEL-PEERS --torch PYTHON [--onnx PYTHON --vlm VLM --tower TOWER.onnx]
                                        [--threads 2] [--rounds 5]

KERNEL-PEERS is the program of Benchmarks/Package.swift, PYTHON the interpreters that have PyTorch, and ONNX Runtime with onnx;
TOWER.onnx is what scripts/fetch-vit-s fetches. The layers are those of the im2win paper, one image, float32; PyTorch takes
them in both of its layouts, and the better one is compared with ours. Attention is scaled_dot_product_attention of
contiguous heads; ours reads them side by side. Programs stay in processes of their own, and one sleeps while the other has its
turn: a pause, calls that are not counted, and the median of the rest. ONNX Runtime and ours compute the state before the last
block. Prints JSON: median milliseconds, and how many times as fast ours was in every round. Python itself needs nothing.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import time


class Server:
    """A program that takes a turn for every line it is sent, and answers with milliseconds."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def turn(self, request):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.process.args[0]} ended at {request!r} with status {self.process.wait()}")
        return float(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def turn(call, seconds):
    def repeated(limit, least):
        times, begin = [], time.perf_counter()
        while len(times) < least or time.perf_counter() - begin < limit:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return times

    time.sleep(0.06)
    repeated(0.02, 2)
    return 1000 * statistics.median(repeated(seconds, 3))


def serve(program, seconds):
    known = {}
    for line in sys.stdin:
        words = tuple(line.split())
        known[words] = known.get(words) or program(*words)
        print(turn(known[words], seconds), flush=True)


def serve_torch(arguments):
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)
    shapes = json.loads(arguments.shapes)

    def program(kind, index, layout=None):
        shape = shapes["convolutions" if kind == "convolution" else kind][int(index)]
        if kind == "attention":
            q, k, v = (torch.rand(1, shape["heads"], shape["tokens"], shape["head_size"]) for _ in range(3))
            return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=shape["is_causal"])
        memory = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}[layout]
        image = torch.rand(1, shape["channels"], shape["side"], shape["side"]).to(memory_format=memory)
        filters = torch.rand(shape["filters"], shape["channels"], shape["filter"], shape["filter"])
        filters = filters.to(memory_format=memory)
        return lambda: F.conv2d(image, filters, stride=shape["stride"])

    serve(program, arguments.seconds)


def serve_onnx(arguments):
    import numpy
    import onnx
    import onnxruntime

    model = onnx.load(arguments.tower)
    del model.graph.output[:]
    state = f"/backbone/encoder/layer.{arguments.blocks - 2}/Add_1_output_0"
    model.graph.output.append(onnx.helper.make_tensor_value_info(state, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])

    def program(side):
        y, x = numpy.mgrid[: int(side), : int(side)].astype(numpy.float32)
        pixels = numpy.stack([numpy.sin(x * 0.05 + c) * numpy.cos(y * 0.03 - c) for c in range(3)])[None]
        pixels = pixels.astype(numpy.float32)
        return lambda: session.run([state], {model.graph.input[0].name: pixels})

    serve(program, arguments.seconds)


def compared(times):
    """Medians, and how many times as fast ours was as each of the others, by round."""
    return {
        "milliseconds": {name: round(statistics.median(values), 3) for name, values in times.items()},
        "times_as_fast": {
            name: [round(theirs / ours, 3) for ours, theirs in zip(times["ours"], values)]
            for name, values in times.items() if name != "ours"
        },
    }


def kernels(arguments):
    shapes = json.loads(subprocess.run([arguments.peers, "shapes"], check=True, stdout=subprocess.PIPE).stdout)
    ours = Server([arguments.peers, "serve", "--threads", str(arguments.threads), "--seconds", str(arguments.seconds)])
    torch = Server(child(arguments, arguments.torch, "torch") + ["--shapes", json.dumps(shapes)])
    report = {"convolutions": [], "attention": []}
    for index, shape in enumerate(shapes["convolutions"]):
        times = {"ours": [], "nchw": [], "channels_last": []}
        for _ in range(arguments.rounds):
            times["ours"].append(ours.turn(f"convolution {index}"))
            for layout in ("nchw", "channels_last"):
                times[layout].append(torch.turn(f"convolution {index} {layout}"))
        best = min(("nchw", "channels_last"), key=lambda layout: statistics.median(times[layout]))
        report["convolutions"].append({**shape, "best_layout": best, **compared(times)})
    for index, shape in enumerate(shapes["attention"]):
        times = {"ours": [], "PyTorch": []}
        for _ in range(arguments.rounds):
            times["ours"].append(ours.turn(f"attention {index}"))
            times["PyTorch"].append(torch.turn(f"attention {index}"))
        report["attention"].append({**shape, **compared(times)})
    ours.close()
    torch.close()
    ratios = [statistics.median(c["times_as_fast"][c["best_layout"]]) for c in report["convolutions"]]
    report["mean_of_convolutions"] = round(math.exp(statistics.fmean(map(math.log, ratios))), 3)
    return report


def tower(arguments):
    command = [arguments.vlm, "bench", "encoder", "--vision-tower", arguments.tower, "--forms", "stored,int8"]
    command += ["--threads", str(arguments.threads), "--repeats", "5"]
    onnx = Server(child(arguments, arguments.onnx, "onnx"))
    times = {"ours": [], "int8": [], "ONNX Runtime": []}
    for _ in range(arguments.rounds):
        report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        forms = {form["weights"]: form["milliseconds"] for form in report["forms"]}
        times["ours"].append(forms["stored"])
        times["int8"].append(forms["int8"])
        # Patches of 14 pixels, and the class token.
        times["ONNX Runtime"].append(onnx.turn(str(14 * math.isqrt(report["tokens"] - 1))))
    onnx.close()
    result = compared(times)
    theirs = times["ONNX Runtime"]
    result["times_as_fast"] = {
        form: [round(b / a, 3) for a, b in zip(times[form], theirs)] for form in ("ours", "int8")}
    return {"tokens": report["tokens"], "gflop": report["gflop"], **result}


def child(arguments, python, peer):
    command = [python, __file__, arguments.peers, "--peer", peer, "--threads", str(arguments.threads)]
    command += ["--seconds", str(arguments.seconds)]
    return command + (["--tower", arguments.tower, "--blocks", str(arguments.blocks)] if arguments.tower else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers")
    parser.add_argument("--torch")
    parser.add_argument("--onnx")
    parser.add_argument("--vlm")
    parser.add_argument("--tower")
    parser.add_argument("--blocks", type=int, default=12, help="blocks of TOWER.onnx")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.1)
    for hidden in ("--peer", "--shapes"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return {"torch": serve_torch, "onnx": serve_onnx}[arguments.peer](arguments)
    if arguments.onnx and not (arguments.vlm and arguments.tower):
        parser.error("--onnx needs --vlm and --tower")
    report = {"threads": arguments.threads, "rounds": arguments.rounds}
    if arguments.torch:
        report |= kernels(arguments)
    if arguments.onnx:
        report["tower"] = tower(arguments)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
