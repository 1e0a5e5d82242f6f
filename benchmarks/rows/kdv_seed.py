"""One seed of the KdV experiment, whole: training and the rollouts of its published test set.

By the published recipe, 10,000 steps of Adam at 200 hidden units, and by ours. Each in a process of
its own with two threads, from nothing but the training data.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from benchmarks.machine import ROOT, Options, all_cores, peer_environment
from benchmarks.report import Row

THREADS = 2
QUICK_STEPS = 20
"""A quick run leaves out rk2 and dopri5, for which a network that has hardly been trained is stiff,
and takes one thread: where cores are busy, two wait for each other."""
PROGRAM = """
import json, sys, time
from pathlib import Path
from ddg_explorer.paper.experiments import Cell
from ddg_explorer.paper.runs import Study, read_result
from ddg_explorer.recipes import make_dataset
class Exact(Cell):
    predictions = ("dg",)
folder, budget, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
make, quick = (Exact, (steps,)) if steps else (Cell, ())
cell = make("kdv", "dgnet", "dg", budget, 0, *quick)
make_dataset(cell.recipe)
study = Study(folder / "results", folder / "work", "python -m benchmarks --only kdv_seed")
start = time.perf_counter()
for _ in study.run(cell):
    pass
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, **read_result(cell.path(folder / "results"))}))
"""


def measure(options: Options) -> Row:
    row = Row(
        "kdv_seed",
        "one seed of the KdV experiment, training and rollouts, on two cores",
        {
            "experiment": "kdv, DGNet, seed 0, predictions dg, rk2 and dopri5",
            "published": "3 → 200 → 200 → 1, float64, 10,000 steps of Adam, 1e-3, batch 200",
            "ours": "Levenberg–Marquardt, see ddg_explorer/budgets",
            "threads": THREADS,
        },
    )
    published, own = (_run(budget, options) for budget in ("published", "ours"))
    minutes = published["seconds"] / 60
    row.add("published recipe: training and rollouts", minutes, "min", least=15.0)
    row.add("published recipe: training", published["wall_s"] / 60, "min")
    row.add("ours: training and rollouts", own["seconds"], "s", least=60.0)
    row.add("ours: training", own["wall_s"], "s", least=60.0)
    for name, found, bounds in (
        ("published recipe", published, ({}, {})),
        ("ours", own, ({"least": 1.6e-6, "aim": 1e-9}, {"least": 2.5e-7, "aim": 1e-10})),
    ):
        test = found["predictions"]["dg"]["test"]
        row.add(f"{name}: energy MSE", test["energy_mse"], **bounds[0])
        row.add(f"{name}: state MSE", test["state_mse"], **bounds[1])
    row.notes.append("published: energy MSE 1.60e-3, state MSE 2.55e-4")
    return row


def _run(budget: str, options: Options) -> dict:
    with tempfile.TemporaryDirectory() as folder, all_cores():
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, folder, budget, str(QUICK_STEPS * options.quick)],
            cwd=ROOT,
            env=peer_environment(1 if options.quick else THREADS),
            capture_output=True,
            text=True,
            check=True,
        )
    return json.loads(run.stdout.splitlines()[-1])
