"""Peak memory of one training step in two dimensions: DGNet, and HNN++ with Dormand–Prince.

Each in a process of its own. CPU: largest resident set during the step, less that before it, as
Linux counts them (VmHWM, reset before the step, and VmRSS). GPU: the same of what torch has
allocated there.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.machine import ROOT, Options
from benchmarks.report import Row

SIZES = (64, 128)
HIDDEN, BATCH = 200, 4
HNNPP = "HNN++, Dormand–Prince"
PAIRWISE = "HNN++, Dormand–Prince, pair by pair"
SIDES = {"DGNet": ("dgnet", BATCH), HNNPP: ("hnnpp", BATCH), PAIRWISE: ("hnnpp", 1)}
"""Model and pairs in one pass."""
PROGRAM = """
import ctypes, gc, json, sys
from pathlib import Path
import torch
from benchmarks.learning import true_trajectories
from ddg_explorer.models.recipe import ModelRecipe
from ddg_explorer.training.first_order import FirstOrder
name, device, n, hidden, count, batch, threads = *sys.argv[1:3], *map(int, sys.argv[3:])
torch.set_num_threads(threads)
data = true_trajectories("cahn_hilliard_2d", "published", count, 2, 2e-4, n=n, length=n / 64)
scheme = "dopri5" if name == "hnnpp" else None
model = ModelRecipe.fitting(name, data, hidden=hidden, scheme=scheme, dtype="float32").build()
model.to(device)
run = FirstOrder(model, data, torch.Generator().manual_seed(0), steps=1, batch=batch)
def resident(key):
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(key))
    return int(line.split()[1]) / 1024
import torchdiffeq
# what making the data has left behind is neither memory of the step nor there for it to take
gc.collect()
if device == "cpu":
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    loss = run.advance(0)
    after = resident("VmHWM")
else:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() / 2**20
    loss = run.advance(0)
    after = torch.cuda.max_memory_allocated() / 2**20
print(json.dumps({"before": before, "after": after, "loss": loss}))
"""


def measure(options: Options) -> Row:
    row = Row(
        "training_memory",
        "peak memory of a 2-D training step, DGNet : HNN++ with Dormand–Prince, same batch",
        {
            "data": "cahn_hilliard_2d, published preset, spacing 1/64",
            "network": f"9 → {HIDDEN} → {HIDDEN} → 1, tanh, float32",
            "batch": BATCH,
            "measure": "largest resident set during the step less that before it (Linux)"
            if options.on_cpu
            else "most allocated on the GPU during the step less that before it",
        },
    )
    for n in SIZES[:1] if options.quick else SIZES:
        grown = {}
        for label, (name, batch) in SIDES.items():
            found = _run(name, n, batch, options)
            grown[label] = found["after"] - found["before"]
            row.add(f"{label}, {n}²: of the step", grown[label], "MiB")
            row.add(f"{label}, {n}²: of the whole process", found["after"], "MiB")
        whole, single = (grown[label] / grown["DGNet"] for label in (HNNPP, PAIRWISE))
        row.add(f"{n}²: times less", whole, "×", least=4.0, aim=8.0, better="higher")
        row.add(f"{n}²: times less than pair by pair", single, "×", better="higher")
    row.notes.append(
        "DGNet goes through its batch in chunks of sites, HNN++ takes it whole, as its adaptive "
        "solver does; pair by pair it takes a batch of 1, whose gradients would be added up"
    )
    return row


def _run(name: str, n: int, batch: int, options: Options) -> dict[str, float]:
    numbers = map(str, (n, HIDDEN, BATCH, batch, options.threads))
    program = [sys.executable, "-c", PROGRAM, name, options.device, *numbers]
    run = subprocess.run(
        program,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])
