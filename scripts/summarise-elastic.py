"""Prints docs/elastic.md from the runs of scripts/reproduce-elastic.

    scripts/summarise-elastic.py runs/elastic 1 4 16 64
"""

import json
import pathlib
import subprocess
import sys

out, budgets = pathlib.Path(sys.argv[1]), sys.argv[2:]
recipe = json.loads((out / "elastic/recipe.json").read_text())

print(f"""# One elastic model and models of one budget

Printed by `scripts/reproduce-elastic`: six models of {recipe['steps']} steps of {recipe['batch']} pictures each, all from the shipped
model, by recipes (`recipes/elastic`) that differ in nothing but the numbers of visual tokens. *elastic* learns every batch at 1, 4, 16
and 64 tokens, at 1 with three and at 4 with two times the weight of the others; *equal* weighs all four the same; *fixed* learns
at the budget of its row alone. A step of the first two is four passes over the same pictures. The weights were chosen on
validation questions; the first 3,000 of these test questions had been asked of both forms before, and too few to tell 2 points apart.

Every model is asked the same questions of the test splits at the budget of the row. Answers are generated greedily and count when
they equal the expected ones. Intervals of 95 % are by bootstrap over pictures, each model by itself.

All begin where the shipped model ended, which knows every budget: the rivals are what is gained by giving that up for one. Models that
begin from one of 64 tokens alone, in shorter runs, are in [experiments.md](experiments.md).""")
for data, title in (("scenes", "Scenes"), ("fashion", "FashionScenes")):
    print(f"\n## {title}\n")
    worst, rows = 0.0, []
    for m in budgets:
        report = json.loads((out / f"sweep-{data}-{m}/sweep.json").read_text())
        models = [model["rows"][0]["score"] for model in report["models"]]
        scores = [100 * row["score"] for row in models]
        cells = [
            f"{score:.1f} ({100 * row['interval']['lower']:.1f}-{100 * row['interval']['upper']:.1f})"
            for score, row in zip(scores, models)]
        worst = min(worst, scores[0] - scores[2])
        rows.append([m, *cells, f"{scores[0] - scores[2]:+.1f}", f"{scores[1] - scores[2]:+.1f}"])
    dataset = report["dataset"]
    print(f"{dataset['questions']} questions about {dataset['pictures']} pictures of the {dataset['split']} split, checksum "
          f"{dataset['checksum'][:16]}; elastic is at most {-worst:.1f} points behind.\n")
    print("| m | elastic | equal | fixed | elastic - fixed | equal - fixed |\n|---|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
print("\n## Training\n", flush=True)
subprocess.run(
    [sys.executable, pathlib.Path(__file__).with_name("summarise-runs.py"), "--table"]
    + [out / name for name in ["elastic", "equal", *(f"fixed-{m}" for m in budgets)]], check=True)
