"""Prints docs/performance.md from the measurements of scripts/reproduce-performance."""

import json
import pathlib
import statistics
import sys

out = pathlib.Path(sys.argv[1])


def read(name):
    return json.loads((out / f"{name}.json").read_text())


def table(header, rows):
    print("\n|" + "|".join(f" {word} " for word in header) + "|\n|" + "---|" * len(header))
    for row in rows:
        print("|" + "|".join(f" {word} " for word in row) + "|")


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


vit = read("vit-s")
encoder, q4_1, q4_0 = read("encoder"), read("smollm2-q4_1"), read("smollm2-q4_0")
kernels = read("kernels")
short, long, pmod = read("llama-7b-64"), read("llama-7b-576"), read("p-mod-7b")
peak = encoder["float32_gflops"]

print(f"""# Performance

Printed by `scripts/reproduce-performance`: {encoder['threads']} threads, programs in turns, each a process of its own that warms
up first. Ratios are of the same round: median (least-greatest). Shapes of published models have random weights. The machine is
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
ours = 1000 * 64 / short["prefill"]["tokens_per_second"]["vlm"] + milliseconds["int8"]
theirs = 1000 * 576 / long["prefill"]["tokens_per_second"]["llama.cpp"] + milliseconds["llama.cpp"]
print(f"""
The prompt of the Q4_1 file here is {best:.2f} times as fast as that of llama.cpp's fastest file, Q4_0.

## First token

Tower and prompt of a 7B model, from the tables above. MQT-LLaVA's shape with 16 visual tokens and 48 of text, int8 tower and
Q4_0 decoder here: {ours / 1000:.2f} s. LLaVA-1.5's shape with 576 visual tokens, text not counted, in llama.cpp: {theirs / 1000:.1f} s,
{theirs / ours:.1f} times as long. The query transformer is in neither.

## Mixture of depths

p-MoD's 7B shape in float16, a prompt of {pmod['prefill']['tokens']} tokens of which 576 may be skipped:
{pmod['prefill']['milliseconds'] / 1000:.1f} s, {pmod['prefill_without_skipping']['milliseconds'] / 1000:.1f} s with none skipped
(ratio {pmod['prefill_ratio']:.3f}, the median of pairs); {pmod['prefill_without_skipping']['of_float32_peak']:.0%} of the float32
peak.""")

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
table(["attention", "GFLOP/s", "of peak"], [
    [f"{entry['tokens']}, {entry['head_size']}, {entry['mask']}", f"{entry['gflops']:.0f}", f"{entry['of_peak']:.0%}"]
    for entry in kernels["attention"]])
routes = ("im2win", "row_run", "im2col")
table(["layer", "taken"] + [f"{route}, GFLOP/s" for route in routes] + ["KiB of im2win", "of im2col"], [
    [entry["layer"], entry["chosen"]] + [f"{entry['routes'][route]['gflops']:.0f}" for route in routes]
    + [f"{entry['routes'][route]['scratch_bytes'] >> 10}" for route in ("im2win", "im2col")]
    for entry in kernels["convolutions"]])
