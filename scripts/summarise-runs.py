"""Prints what training runs came to, as Markdown: steps, hours, loss, and accuracy on validation data by kind.

    scripts/summarise-runs.py [--table] runs/tower runs/answers

With --table, the table alone.
"""

import json
import os
import sys

only_table = sys.argv[1] == "--table"
runs = sys.argv[2:] if only_table else sys.argv[1:]
if not only_table:
    print("\n## Training\n\n    scripts/reproduce-demo-model\n")
print("| run | steps | pictures | hours | loss, first and last 100 steps |\n|---|---|---|---|---|")
scores = {}
for run in runs:
    with open(os.path.join(run, "recipe.json")) as file:
        recipe = json.load(file)
    with open(os.path.join(run, "log.jsonl")) as file:
        lines = [json.loads(line) for line in file]
    losses = [line["loss"] for line in lines]
    mean = lambda values: sum(values) / len(values)
    hours = sum(line["seconds"] for line in lines) / 3600
    name = os.path.basename(os.path.normpath(run))
    print(f"| {name} | {len(lines)} | {len(lines) * recipe['batch']} | {hours:.2f} | "
          f"{mean(losses[:100]):.3f} {mean(losses[-100:]):.3f} |")
    for line in lines:
        if line.get("accuracy"):
            scores[name] = (line["step"], line["accuracy"])
if only_table:
    sys.exit()
print("\nHours are those of the steps, with scores on validation data in between, on two cores that other work may have shared.")
for name, (step, accuracy) in scores.items():
    print(f"\nValidation after step {step} of {name}, at all visual tokens:\n")
    sets = sorted({key.split("/")[0] for key in accuracy})
    for name in sets:
        kinds = [f"{key.split('/')[1]} {100 * value:.1f}" for key, value in sorted(accuracy.items())
                 if key.startswith(name + "/")]
        whole = f"**{100 * accuracy[name]:.1f} %**: " if name in accuracy else ""
        print(f"- {name} {whole}{', '.join(kinds)}")
