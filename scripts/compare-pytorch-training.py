"""Times training steps of the demo model's shape here and in PyTorch; see scripts/compare-pytorch-training."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile

BATCH, VISUAL_TOKENS, STEPS, WARM = 32, 64, 24, 8


def measure_ours(vlm, directory, number):
    """Seconds of each step, tokens of a step, learned tokens of a step, and peak bytes."""
    model = os.path.join(directory, "model")
    if not os.path.exists(model):
        shape = os.path.join(directory, "shape")
        os.makedirs(os.path.join(shape, "vision_tower"))
        demo = "fixtures/demo-model"
        for name in ["tokenizer.json", "tokenizer_config.json", "vision_tower/config.json"]:
            with open(f"{demo}/{name}", "rb") as source, open(f"{shape}/{name}", "wb") as target:
                target.write(source.read())
        with open(f"{demo}/config.json") as file:
            config = {key: value for key, value in json.load(file).items() if not key.startswith("mod_")}
        with open(f"{shape}/config.json", "w") as file:
            json.dump(config, file)
        subprocess.run([vlm, "synth", shape, "--out", model], check=True, capture_output=True)
    recipe = {
        "model": model, "steps": STEPS, "batch": BATCH, "captions": True, "visual_tokens": VISUAL_TOKENS, "seed": 1,
        "data": [{"set": "scenes", "split": "train", "count": 2 * BATCH, "questions": 8}],
        "trainable": ["model.query_abstractor.*", "model.layers.*", "model.norm.*", "model.embed_tokens.*", "lm_head.*"],
        "optimizer": {"learning_rate": 1e-4, "warmup_steps": 1, "weight_decay": 0.05, "clip_norm": 1},
        "checkpoint_every": 1000,
    }
    path = os.path.join(directory, "recipe.json")
    with open(path, "w") as file:
        json.dump(recipe, file)
    out = os.path.join(directory, f"run-{number}")
    process = subprocess.Popen(
        [vlm, "train", "--recipe", path, "--out", out, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    lines = [json.loads(line) for line in process.stdout]
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, status
    # The first steps draw the pictures and encode them; later ones find their features in memory.
    lines = lines[WARM:]
    return ([line["seconds"] for line in lines], statistics.mean(line["tokens"] for line in lines),
            statistics.mean(line["supervised_tokens"] for line in lines), usage.ru_maxrss * 1024)


def measure_theirs(text, learned):
    output = subprocess.run(
        [sys.executable, __file__, "--torch", str(text), str(learned)], check=True, capture_output=True, text=True)
    result = json.loads(output.stdout)
    return result["seconds"], result["peak"]


def torch_steps(text, learned):
    """The same model in PyTorch: a query transformer over known features, and a LLaMA decoder.

    Each row is a picture's tokens and its turns; a turn sees the picture and itself, and counts its positions from there.
    """
    import time

    import torch
    from torch import nn
    from torch.nn import functional as F

    with open("fixtures/demo-model/config.json") as file:
        config = json.load(file)
    width, inner = config["hidden_size"], config["intermediate_size"]
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    features, cells = config["mm_hidden_size"], config["num_visual_tokens"]
    query_heads, vocabulary = config["query_abstractor_num_heads"], config["vocab_size"]

    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(width))

        def forward(self, x):
            return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.before, self.after = Norm(), Norm()
            self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
            self.gate, self.up = (nn.Linear(width, inner, bias=False) for _ in range(2))
            self.down = nn.Linear(inner, width, bias=False)

        def forward(self, x, cos, sin, mask):
            rows, length, _ = x.shape
            h = self.before(x)

            def split(y):
                return y.view(rows, length, heads, width // heads).transpose(1, 2)

            def turned(y):
                a, b = y.chunk(2, -1)
                return y * cos + torch.cat([-b, a], -1) * sin

            y = F.scaled_dot_product_attention(turned(split(self.q(h))), turned(split(self.k(h))), split(self.v(h)), mask)
            x = x + self.o(y.transpose(1, 2).reshape(rows, length, width))
            h = self.after(x)
            return x + self.down(F.silu(self.gate(h)) * self.up(h))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.query = nn.Parameter(torch.randn(cells, features) * 0.02)
            self.positions = nn.Parameter(torch.randn(cells, features))
            self.norms = nn.ModuleList(nn.LayerNorm(features) for _ in range(3))
            self.attention = nn.MultiheadAttention(features, query_heads, batch_first=True)
            self.projection = nn.Linear(features, width, bias=False)
            self.embed = nn.Embedding(vocabulary, width)
            self.layers = nn.ModuleList(Layer() for _ in range(layers))
            self.norm, self.head = Norm(), nn.Linear(width, vocabulary, bias=False)

        def forward(self, seen, ids, cos, sin, mask, places, targets):
            rows = seen.shape[0]
            q = self.norms[0](self.query + self.positions).expand(rows, -1, -1)
            k = self.norms[1](self.positions).expand(rows, -1, -1)
            v = self.norms[2](seen) + self.positions
            visual = self.projection(self.attention(q, k, v, need_weights=False)[0])
            x = torch.cat([visual, self.embed(ids)], 1)
            for layer in self.layers:
                x = layer(x, cos, sin, mask)
            x = x.flatten(0, 1)[places]
            return F.cross_entropy(self.head(self.norm(x)), targets)

    torch.manual_seed(1)
    model = Model()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0}], lr=1e-4)
    per_row = round(text / BATCH)
    length = cells + per_row
    turn = max(1, round(per_row / 9))
    positions = torch.tensor([i if i < cells else cells + (i - cells) % turn for i in range(length)])
    angles = torch.outer(positions.float(), 10000 ** (-torch.arange(0, width // heads, 2).float() / (width // heads)))
    cos, sin = torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()
    group = torch.tensor([-1 if i < cells else (i - cells) // turn for i in range(length)])
    index = torch.arange(length)
    mask = (index[None, :] <= index[:, None]) & ((group[None, :] == -1) | (group[None, :] == group[:, None]))
    seconds = []
    for _ in range(STEPS):
        seen = torch.randn(BATCH, cells, features)
        ids = torch.randint(vocabulary, (BATCH, per_row))
        places = torch.randperm(BATCH * length)[:round(learned)]
        targets = torch.randint(vocabulary, (len(places),))
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = model(seen, ids, cos, sin, mask, places, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds[WARM:], "peak": peak, "weights": sum(p.numel() for p in model.parameters())}))


def main(vlm, rounds):
    ours, theirs, peaks = [], [], ([], [])
    with tempfile.TemporaryDirectory() as directory:
        for number in range(rounds):
            seconds, tokens, learned, peak = measure_ours(vlm, directory, number)
            ours.append(statistics.median(seconds))
            peaks[0].append(peak)
            seconds, peak = measure_theirs(tokens - BATCH * VISUAL_TOKENS, learned)
            theirs.append(statistics.median(seconds))
            peaks[1].append(peak)
            print(f"round {number + 1}: {ours[-1] * 1000:.0f} ms here, {theirs[-1] * 1000:.0f} ms PyTorch; "
                  f"{peaks[0][-1] / 2**20:.0f} and {peaks[1][-1] / 2**20:.0f} MiB", file=sys.stderr)
    a, b = statistics.median(ours), statistics.median(theirs)
    print(json.dumps({
        "batch": BATCH, "tokens": tokens, "learned_tokens": learned, "visual_tokens": VISUAL_TOKENS,
        "milliseconds": round(a * 1000, 1), "pytorch_milliseconds": round(b * 1000, 1),
        "times_as_fast": round(b / a, 2), "ratios": [round(y / x, 2) for x, y in zip(ours, theirs)],
        "peak_mib": round(max(peaks[0]) / 2**20), "pytorch_peak_mib": round(max(peaks[1]) / 2**20),
    }))


if sys.argv[1] == "--torch":
    torch_steps(float(sys.argv[2]), float(sys.argv[3]))
else:
    main(sys.argv[1], int(sys.argv[2]))
