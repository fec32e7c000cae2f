"""Prints docs/performance.md from the measurements of scripts/reproduce-performance.

    python3 scripts/summarise-performance.py runs/performance [--readme README.md]

With --readme the lines between the two marks in that file are replaced by a short table.
"""

import json
import math
import pathlib
import statistics
import sys

out = pathlib.Path(sys.argv[1])


def read(name):
    return json.loads((out / f"{name}.json").read_text())


def lines(header, rows):
    text = "\n|" + "|".join(f" {word} " for word in header) + "|\n|" + "---|" * len(header) + "\n"
    return text + "".join("|" + "|".join(f" {word} " for word in row) + "|\n" for row in rows)


def table(header, rows):
    print(lines(header, rows), end="")


# First token and where the time goes: what vlm bench ask measured in one process.

def at_budget(profile, m):
    return next(budget for budget in profile["budgets"] if budget["visual_tokens"] == m)


def first_token(theirs):
    """`theirs` is the time of llama.cpp in milliseconds."""
    profile = read("ask-mqt-llava-7b")
    ours = at_budget(profile, 16)
    first = read("first-answer")
    once, load, token = (first[name + "_milliseconds"] for name in ("process", "load", "first_token"))
    return f"""
## First token

MQT-LLaVA-7B's shape: {profile['quantization']} (Q4_0). With 16 visual tokens and {profile['text_tokens']} of text, from the file of
the picture to the first token: {ours['first_token_milliseconds'] / 1000:.2f} s in a process that has answered before. LLaVA-1.5's shape
with 576 visual tokens in llama.cpp takes {theirs / 1000:.1f} s for tower and prompt, by the tables above and without text:
{theirs / ours['first_token_milliseconds']:.1f} times as long.

`vlm ask`, a process that answers once with both files in the system's cache, takes {once['median'] / 1000:.2f} s ({once['least'] / 1000:.2f}-{once['greatest'] / 1000:.2f} s, {first['times']} of them)
from its start to its end, for one token with {first['visual_tokens']} visual tokens and {first['prompt_tokens']} in the prompt: {load['median'] / 1000:.2f} s to load, {token['median'] / 1000:.2f} s to the token. It
rounds the weights of the tower, reads those of the decoder where they lie, and has at most {first['peak_rss_bytes'] / 1e9:.1f} GB resident, files included.
"""


STAGES = {
    "image_decode": "picture file", "preprocess": "resizing", "encode": "vision tower",
    "query_transformer": "query transformer", "prefill": "prompt", "decode_step": "a token after it"}


def number(value):
    return "" if value == 0 else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def limit(name, stage):
    """What a stage waits for, by what it would take at the rates of the machine."""
    computing, reading = stage.get("of_peak", 0), stage.get("of_read_rate", 0)
    if name in ("image_decode", "preprocess"):
        return "one thread, byte by byte"
    if reading > 0.5 and reading > computing:
        return f"memory: its weights and keys alone take {reading:.0%} of the time to read"
    if computing > 0.5:
        return (f"multiply-adds: they alone take {computing:.0%} of the time at their peak, the rest is what goes with them: scales, "
                "rounding, packing, norms")
    return (f"small steps: multiply-adds take {computing:.0%} and reading {reading:.0%} of the time; the rest is norms, "
            "activations, packing, and threads that wait for each other")


def where_the_time_goes():
    text = """
## Where the time of an answer goes

`vlm bench ask`: medians in a process that has answered before. A stage's part of the peak is the time that its operations would
take at the peak of what computes them, float32, integers of 16 bits (twice that) or of 8 (four times), to the time it
takes; the part of the read rate is the same for the weights, keys and values it reads. Allocated is what came from the allocator.
"""
    for name, title in (("ask-mqt-llava-7b", "MQT-LLaVA-7B's shape"), ("ask-demo-model", "The shipped model")):
        profile = read(name)
        text += f"""
### {title}

Rounded: {profile['quantization']}. Peak {profile['float32_gflops']:.0f} GFLOP/s in float32,
{profile['read_gigabytes_per_second']:.0f} GB/s read; {profile['text_tokens']} tokens of text; at most {profile['peak_rss_bytes'] / 1e9:.2f} GB
resident, of which mapped files are a part, and {profile['packed_peak_rss_bytes'] / 1e9:.2f} GB once weights are packed.
"""
        text += lines(["visual tokens", "first token, ms"] + [f"{title}, ms" for title in STAGES.values()] + ["drift of logits"], [
            [budget["visual_tokens"], f"{budget['first_token_milliseconds']:.1f}"]
            + [f"{budget['stages'][stage]['milliseconds']:.2f}" for stage in STAGES]
            + [f"{budget['drift_of_logits']['relative_error']:.4f}"]
            for budget in profile["budgets"]])
        budget = at_budget(profile, 16)
        rows = []
        for stage, words in STAGES.items():
            numbers = budget["stages"][stage]
            share = numbers["milliseconds"] / budget["first_token_milliseconds"]
            rows.append([
                words, "" if stage == "decode_step" else f"{share:.1%}", number(numbers.get("gflop", 0)),
                *(f"{numbers[part]:.0%}" if part in numbers else "" for part in ("of_float32_peak", "of_peak", "of_read_rate")),
                f"{numbers['allocated_bytes'] / 1e6:.1f} MB", limit(stage, numbers)])
        text += "\nWith 16 visual tokens:\n" + lines([
            "stage", "of the first token", "GFLOP", "of float32 peak", "of its peak", "of the read rate", "allocated",
            "what limits it"], rows)
    return text


# The short table of the README.

def readme_block(encoder, q4_1, short, long, theirs):
    profile = read("ask-mqt-llava-7b")
    ours = at_budget(profile, 16)["first_token_milliseconds"]
    once = read("first-answer")["process_milliseconds"]["median"]
    milliseconds = encoder["milliseconds"]
    best = min(milliseconds["PyTorch"], milliseconds["llama.cpp"])

    def rates(report, stage):
        numbers = report[stage]["tokens_per_second"]
        return f"{numbers['vlm']:.0f} tokens/s", f"{numbers['llama.cpp']:.0f} tokens/s, llama.cpp", numbers["vlm"] / numbers["llama.cpp"]

    rows = [
        ("CLIP ViT-L/14-336, float32", f"{milliseconds['stored']:.0f} ms", f"{best:.0f} ms", best / milliseconds["stored"]),
        ("the same, `--quantize encoder=int8`", f"{milliseconds['int8']:.0f} ms", f"{best:.0f} ms", best / milliseconds["int8"]),
        ("SmolLM2-135M Q4_1, prompt of 512", *rates(q4_1, "prefill")),
        ("the same, decode", *rates(q4_1, "decode")),
        ("LLaMA-7B shape Q4_0, prompt of 576", *rates(long, "prefill")),
        ("the same, decode", *rates(short, "decode")),
        ("first token, MQT-LLaVA-7B shape, 16 visual tokens", f"{ours / 1000:.2f} s",
         f"{theirs / 1000:.1f} s, LLaVA-1.5-7B shape in llama.cpp", theirs / ours),
        ("the same in a new process, from its start to its end", f"{once / 1000:.2f} s", "the same, loaded before", theirs / once),
    ]
    return ("\n## How fast\n" + lines(["", "vlm", "PyTorch or llama.cpp, the faster", "times as fast"], [
        [*row[:3], f"{row[3]:.1f}"] for row in rows]) + f"""
![Time to the first token against visual tokens](docs/performance/first-token.svg)

Printed by `scripts/reproduce-performance --readme` on {measured_on()}, {profile['threads']} threads;
[docs/performance.md](docs/performance.md) says how, and where the time goes. `./run bench ask` measures your own machine.
""")


def measured_on():
    """The processor, the instructions that are used of it, and the commits that were measured."""
    machine = json.loads((out / "machine.json").read_text())
    commits = sorted({path.read_text().strip() for path in out.glob("*.commit")})
    return f"{machine['processor']}, kernels `{read('kernels')['kernels']}`, at {' and '.join(commits)}"


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def mean(medians):
    return f"{math.exp(statistics.fmean(map(math.log, medians))):.2f}"


vit = read("vit-s")
encoder, q4_1, q4_0 = read("encoder"), read("smollm2-q4_1"), read("smollm2-q4_0")
kernels, peers, torch_peers = read("kernels"), read("kernel-peers"), read("torch-kernels")
short, long, pmod = read("llama-7b-64"), read("llama-7b-576"), read("p-mod-7b")
peak = encoder["float32_gflops"]

print(f"""# Performance

Printed by `scripts/reproduce-performance` on {measured_on()}:
{encoder['threads']} threads, programs in turns, each a process of its own that warms up first. Ratios are of the same round: median (least-greatest). Shapes of published models have random weights. The machine is
shared, and other machines differ: measure your own.

## Vision tower: CLIP ViT-L/14 at 336 pixels

577 tokens to the state before the last block, {encoder['gflop']:.0f} GFLOP; PyTorch 2.1.2 computes in float32, llama.cpp
(llama-cpp-python 0.3.36) with float16 weights. Register tiles in the first cache reach {peak:.0f} GFLOP/s in float32 here.""")
milliseconds, ratios = encoder["milliseconds"], encoder["times_as_fast"]
names = {"stored": "vlm, float32", "int8": "vlm, `--quantize encoder=int8`"}
table(["", "ms", "of float32 peak", "times as fast as PyTorch", "as llama.cpp"], [
    [names.get(name, name), f"{value:.0f}", f"{encoder['gflop'] / value * 1000 / peak:.0%}"]
    + ([spread(ratios[name]["PyTorch"]), spread(ratios[name]["llama.cpp"])] if name in ratios else ["", ""])
    for name, value in milliseconds.items()])
drift = encoder["drift_of_int8"]
print(f"""
Both programs agree on the features (cosine {encoder['cosine_of_peers']}). Features of int8 against float32, on these random
weights: mean cosine {drift['mean_cosine']:.5f}, least {drift['least_cosine']:.5f}. At
{encoder['gflop'] / milliseconds['stored'] * 1000 / peak:.0%} of the peak float32 is bound by its multiply-adds; no program on these cores can be much faster without rounding.

What rounding changes where weights are real: the DINOv2 ViT-S of `scripts/fetch-vit-s` on {vit['pictures']} photographs of
scikit-image, every token's state before the last block against that of float32.""")
table(["weights", "times as fast as float32", "mean cosine", "least", "length of the difference"], [
    [form["weights"], f"{form['times_as_fast']:.2f}", f"{form['drift']['mean_cosine']:.5f}",
     f"{form['drift']['least_cosine']:.4f}", f"{form['drift']['relative_error']:.1%}"]
    for form in vit["forms"] if "drift" in form])
print("""
## Decoders

Tokens a second; native products, which are the default of `ask` and `chat`.""")
rows = []
for title, report, prompt in (
        ("SmolLM2-135M Q4_1 as shipped", q4_1, 512), ("SmolLM2-135M Q4_0", q4_0, 512),
        ("LLaMA-7B shape Q4_0", short, 64), ("LLaMA-7B shape Q4_0", long, 576)):
    for stage, words in (("prefill", f"prompt of {prompt}"), ("decode", "decode")):
        if stage == "decode" and prompt == 576:
            continue
        rates = report[stage]["tokens_per_second"]
        rows.append([title, words, rates["vlm"], rates["llama.cpp"], spread(report[stage]["ratios"])])
table(["model", "", "vlm", "llama.cpp", "times as fast"], rows)
best = q4_1["prefill"]["tokens_per_second"]["vlm"] / q4_0["prefill"]["tokens_per_second"]["llama.cpp"]
theirs = 1000 * 576 / long["prefill"]["tokens_per_second"]["llama.cpp"] + milliseconds["llama.cpp"]
print(f"""
The prompt of the Q4_1 file here is {best:.2f} times as fast as that of llama.cpp's fastest file, Q4_0.
"""
      + first_token(theirs) + where_the_time_goes() + f"""
## Mixture of depths

p-MoD's 7B shape in float16, a prompt of {pmod['prefill']['tokens']} tokens of which 576 may be skipped:
{pmod['prefill']['milliseconds'] / 1000:.1f} s, {pmod['prefill_without_skipping']['milliseconds'] / 1000:.1f} s with none skipped
(ratio {pmod['prefill_ratio']:.3f}, the median of pairs); {pmod['prefill_without_skipping']['of_float32_peak']:.0%} of the float32
peak.""")

if "--readme" in sys.argv:
    path = pathlib.Path(sys.argv[sys.argv.index("--readme") + 1])
    begin, end = "<!-- performance: scripts/reproduce-performance writes from here -->", "<!-- to here -->"
    text = path.read_text()
    if text.count(begin) != 1 or text.count(end) != 1:
        sys.exit(f"{path}: the marks {begin} and {end} are expected once each")
    path.write_text(text[:text.index(begin) + len(begin)] + "\n" + readme_block(encoder, q4_1, short, long, theirs) + "\n" + text[text.index(end):])

print("""
## Kernels

`vlm bench kernels`: the best of a second, as part of the peak that float32 register tiles reach around the same time; products of
8-bit integers as part of four times that. Products are named by rows x columns x depth, attention by tokens and size of a head,
convolutions are the layers of the im2win paper, one image.""")
products = {}
for entry in kernels["products"]:
    products.setdefault((entry["rows"], entry["columns"], entry["depth"]), {})[entry["weights"]] = entry["of_peak"]
forms = list(next(iter(products.values())))
table(["product"] + forms, [
    [" x ".join(map(str, shape))] + [f"{rates[form]:.0%}" for form in forms] for shape, rates in products.items()])
drifts = {form: max(entry["relative_error"] for entry in kernels["products"] if entry["weights"] == form)
          for form in forms if form != "float32"}
print("\nRelative error of rounded products, the greatest of these shapes: "
      + ", ".join(f"{form} {value:.4f}" for form, value in drifts.items()) + ".")
table(["attention", "GFLOP/s", "of peak"], [
    [f"{entry['tokens']}, {entry['head_size']}, {entry['mask']}", f"{entry['gflops']:.0f}", f"{entry['of_peak']:.0%}"]
    for entry in kernels["attention"]])
routes = ("im2win", "row_run", "im2col")
table(["layer", "taken"] + [f"{route}, GFLOP/s" for route in routes] + ["KiB of im2win", "of im2col"], [
    [entry["layer"], entry["chosen"]] + [f"{entry['routes'][route]['gflops']:.0f}" for route in routes]
    + [f"{entry['routes'][route]['scratch_bytes'] >> 10}" for route in ("im2win", "im2col")]
    for entry in kernels["convolutions"]])

print(f"""
## Kernels against peers

How many times as fast ours is, by turns of one round: median (least-greatest). `kernel-peers` of `Benchmarks/` runs ours, OpenBLAS
(its {peers['open_blas']} kernels) and oneDNN in one process; `Benchmarks/peers/kernels.py` asks the same program and PyTorch
2.1.2 or ONNX Runtime for turns. The layers are those above, one image in rows of pixels, float32, no bias. im2col is our own
product over windows that are stored whole, OpenBLAS multiplies windows that the same code has stored, oneDNN is its direct
convolution with filters in its own order. PyTorch is given both of its layouts.""")
others = ("im2col", "im2col + OpenBLAS", "oneDNN")
for run in peers["runs"]:
    theirs = {entry["layer"]: entry["times_as_fast"] for entry in torch_peers["convolutions"]}
    layouts = ("channels_last", "nchw") if run["threads"] == torch_peers["threads"] else ()
    layers = [
        (c["layer"], c["gflop"] / c["comparison"]["milliseconds"]["ours"] * 1000,
         {**c["comparison"]["times_as_fast"], **theirs[c["layer"]]}) for c in run["convolutions"]]
    print(f"\n{run['threads']} {'thread' if run['threads'] == 1 else 'threads'}, peak {run['float32_gflops']:.0f} GFLOP/s:")
    table(
        ["layer", "GFLOP/s", "of peak", *others] + [f"PyTorch, {layout}" for layout in layouts],
        [[name, f"{rate:.0f}", f"{rate / run['float32_gflops']:.0%}"] + [spread(ratios[other]) for other in (*others, *layouts)]
         for name, rate, ratios in layers]
        + [["geometric mean", "", ""]
           + [mean([statistics.median(ratios[other]) for _, _, ratios in layers]) for other in (*others, *layouts)]])
    table(["product", "GFLOP/s", "OpenBLAS", "oneDNN"], [
        [f"{p['rows']} x {p['columns']} x {p['depth']}",
         f"{2e-6 * p['rows'] * p['columns'] * p['depth'] / p['comparison']['milliseconds']['ours']:.0f}"]
        + [spread(p["comparison"]["times_as_fast"][other]) for other in ("OpenBLAS", "oneDNN")] for p in run["products"]])
best = [statistics.median(c["times_as_fast"][c["best_layout"]]) for c in torch_peers["convolutions"]]
tower = torch_peers["tower"]
print(f"""
Against the better of PyTorch's two layouts for each layer the geometric mean is {mean(best)}. Attention,
{torch_peers['threads']} threads, {torch_peers['attention'][0]['heads']} heads, against PyTorch's scaled_dot_product_attention:""")
table(["tokens, size of a head, mask", "ms", "PyTorch, ms", "times as fast"], [
    [f"{a['tokens']}, {a['head_size']}, {'causal' if a['is_causal'] else 'full'}", f"{a['milliseconds']['ours']:.2f}",
     f"{a['milliseconds']['PyTorch']:.2f}", spread(a["times_as_fast"]["PyTorch"])] for a in torch_peers["attention"]])
print(f"""
DINOv2 ViT-S/14, {tower['tokens']} tokens, to the state before the last block: ONNX Runtime {tower['milliseconds']['ONNX Runtime']:.1f} ms;
ours {tower['milliseconds']['ours']:.1f} ms in float32, {spread(tower['times_as_fast']['ours'])} times as fast, and
{tower['milliseconds']['int8']:.1f} ms with int8 weights, {spread(tower['times_as_fast']['int8'])} times as fast.""")
