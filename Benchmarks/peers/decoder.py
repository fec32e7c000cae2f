"""Times a decoder against llama.cpp on the same GGUF file, in turns: A B A B.

    python3 Benchmarks/peers/decoder.py VLM MODEL.gguf [--threads 2] [--prompt-tokens 512] [--decode-tokens 128]
                                        [--rounds 3] [--exact]

Needs llama-cpp-python 0.3.36. Each turn is a process of its own that loads the model, runs once to warm up, and gives the
median of what follows. Prints JSON: medians, spreads (largest over smallest), and the ratio of ours to theirs in every
round. On a machine that others use, the ratios mean more than the rates.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time


def llama_cpp_times(arguments):
    """Tokens a second of one prompt and of the greedy tokens after it, in this process."""
    import llama_cpp
    import numpy

    model = llama_cpp.Llama(
        arguments.model, n_ctx=arguments.prompt_tokens + arguments.decode_tokens + 8, n_batch=arguments.prompt_tokens,
        n_ubatch=arguments.prompt_tokens, n_threads=arguments.threads, n_threads_batch=arguments.threads, verbose=False)
    ids = [(index * 7919 + 13) % model.n_vocab() for index in range(arguments.prompt_tokens)]
    prefill, decode = [], []
    for _ in range(arguments.repeats + 1):
        model.reset()
        start = time.perf_counter()
        model.eval(ids)
        token = int(numpy.argmax(logits(model)))
        middle = time.perf_counter()
        for _ in range(arguments.decode_tokens):
            model.eval([token])
            token = int(numpy.argmax(logits(model)))
        end = time.perf_counter()
        prefill.append(arguments.prompt_tokens / (middle - start))
        decode.append(arguments.decode_tokens / (end - middle))
    return {"prefill": statistics.median(prefill[1:]), "decode": statistics.median(decode[1:])}


def logits(model):
    """Of the last token, without a copy."""
    import numpy

    return numpy.ctypeslib.as_array(model._ctx.get_logits_ith(-1), shape=(model.n_vocab(),))


def our_times(arguments):
    command = [arguments.vlm, "bench", "decoder", "--model", arguments.model, "--threads", str(arguments.threads)]
    command += ["--prompt-tokens", str(arguments.prompt_tokens), "--decode-tokens", str(arguments.decode_tokens)]
    command += ["--repeats", str(arguments.repeats)] + (["--exact"] if arguments.exact else [])
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {stage: report[stage]["tokens_per_second"] for stage in ("prefill", "decode")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vlm")
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--decode-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        print(json.dumps(llama_cpp_times(arguments)))
        return

    ours, theirs = [], []
    for _ in range(arguments.rounds):
        ours.append(our_times(arguments))
        peer = subprocess.run([sys.executable, *sys.argv, "--peer"], check=True, stdout=subprocess.PIPE)
        theirs.append(json.loads(peer.stdout))
    report = {"model": arguments.model, "threads": arguments.threads, "rounds": arguments.rounds}
    for stage in ("prefill", "decode"):
        rates = {"vlm": [run[stage] for run in ours], "llama.cpp": [run[stage] for run in theirs]}
        ratios = [a / b for a, b in zip(rates["vlm"], rates["llama.cpp"])]
        report[stage] = {
            "tokens_per_second": {name: round(statistics.median(values), 1) for name, values in rates.items()},
            "spread": {name: round(max(values) / min(values), 2) for name, values in rates.items()},
            "ratio": round(statistics.median(ratios), 2),
            "ratios": [round(ratio, 2) for ratio in ratios],
        }
    print(json.dumps(report, indent=2))


main()
