"""Times processes that answer once: from start to exit with one word, again and again; prints JSON with medians.

Usage: scripts/time-first-answer.py TIMES COMMAND...      a command of `vlm ask --json --max-tokens 1`
"""

import json
import statistics
import subprocess
import sys
import time

times, command = int(sys.argv[1]), sys.argv[2:]
runs = []
for _ in range(times):
    start = time.monotonic()
    answer = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    milliseconds = answer["milliseconds"]
    runs.append({
        "process": (time.monotonic() - start) * 1000, "load": milliseconds["load"],
        "first_token": milliseconds["time_to_first_token"], "peak_rss_bytes": answer["peak_rss_bytes"],
        "visual_tokens": answer["images"][0]["visual_tokens"], "prompt_tokens": answer["prompt_tokens"]})


def spread(name):
    values = [run[name] for run in runs]
    return {"median": round(statistics.median(values), 1), "least": round(min(values), 1), "greatest": round(max(values), 1)}


print(json.dumps({
    "times": times, "process_milliseconds": spread("process"), "load_milliseconds": spread("load"),
    "first_token_milliseconds": spread("first_token"), "peak_rss_bytes": max(run["peak_rss_bytes"] for run in runs),
    "visual_tokens": runs[0]["visual_tokens"], "prompt_tokens": runs[0]["prompt_tokens"]}))
