"""Compares our logits with llama.cpp's greedy tokens. Usage: compare-llama-cpp.py VLM MODEL.gguf ..."""

import json
import os
import struct
import subprocess
import sys
import tempfile

import llama_cpp
import numpy

TOKENS = 64
# Where our two best logits are closer than this, either token is right.
MARGIN = 0.05

COMPLETIONS = [
    "The capital of France is",
    "Water boils at a temperature of",
    "Once upon a time, in a small village by the sea,",
    "def fibonacci(n):\n",
    "The three primary colours are",
    "In 1969, two astronauts",
    "Photosynthesis is the process by which",
    "To make a cup of tea, first",
    "The square of 12 is",
    "Dear Sir or Madam,\n\nI am writing to",
]
QUESTIONS = [
    "What is the capital of Italy?",
    "Write a haiku about rain.",
    "Why is the sky blue?",
    "List five animals that can fly.",
    "Explain recursion to a child.",
    "Translate 'good morning' into French.",
    "What is 7 times 8?",
    "Who wrote Romeo and Juliet?",
    "Give me a recipe for pancakes.",
    "What should I do when I cannot sleep?",
]
PROMPTS = COMPLETIONS + [f"<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n" for q in QUESTIONS]


def greedy(model, ids):
    """The prompt's next tokens by llama.cpp, and the gap between its two best logits at each."""
    model.reset()
    model.eval(ids)
    tokens, gaps = [], []
    for _ in range(TOKENS):
        logits = model.scores[model.n_tokens - 1]
        tokens.append(int(numpy.argmax(logits)))
        gaps.append(gap(logits))
        model.eval(tokens[-1:])
    return tokens, gaps


def gap(logits):
    second, first = numpy.partition(logits, -2)[-2:]
    return float(first - second)


def our_logits(vlm, path, ids):
    """Logits after every token of a sequence, [len(ids), V]."""
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "trace.safetensors")
        text = ",".join(map(str, ids))
        subprocess.run([vlm, "trace", "--model", path, "--ids", text, "--out", out], check=True, stderr=subprocess.DEVNULL)
        with open(out, "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
            start, end = header["logits"]["data_offsets"]
            file.seek(start, os.SEEK_CUR)
            values = numpy.frombuffer(file.read(end - start), dtype=numpy.float32)
    return values.reshape(header["logits"]["shape"])[0]


def compare(vlm, path):
    model = llama_cpp.Llama(path, n_ctx=512, logits_all=True, n_threads=1, n_threads_batch=1, verbose=False)
    steps = close = differences = 0
    largest = 0.0
    for prompt in PROMPTS:
        ids = model.tokenize(prompt.encode(), add_bos=False, special=True)
        tokens, _ = greedy(model, ids)
        ours = our_logits(vlm, path, ids + tokens[:-1])[len(ids) - 1 :]
        theirs = model.scores[len(ids) - 1 : len(ids) - 1 + TOKENS]
        largest = max(largest, float(numpy.abs(ours - theirs).max()))
        for step, token in enumerate(tokens):
            steps += 1
            if int(numpy.argmax(ours[step])) == token:
                continue
            if gap(ours[step]) <= MARGIN:
                close += 1
            else:
                differences += 1
                print(
                    f"  {prompt[:30]!r} step {step}: llama.cpp {token} (its margin {gap(theirs[step]):.3f}), "
                    f"ours {int(numpy.argmax(ours[step]))} by {gap(ours[step]):.3f}"
                )
    print(
        f"{os.path.basename(path)}: {steps} greedy tokens of {len(PROMPTS)} prompts, {differences} differ where our margin "
        f"is above {MARGIN}, {close} below it; largest difference of a logit {largest:.4f}",
        flush=True,
    )
    return differences if model.metadata.get("general.file_type") == "0" else 0


def main():
    vlm, paths = sys.argv[1], sys.argv[2:]
    sys.exit(1 if sum(compare(vlm, path) for path in paths) else 0)


main()
