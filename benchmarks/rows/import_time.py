"""What the names of the core cost beyond torch's own import."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.machine import ROOT, Options
from benchmarks.report import Row

PROGRAM = """
import time
start = time.perf_counter()
import torch
middle = time.perf_counter()
from ddg_explorer import INTEGRATORS, STRUCTURES, SYSTEMS, simulate
print(middle - start, time.perf_counter() - middle)
"""


def measure(options: Options) -> Row:
    repeats = 3 if options.quick else 9
    row = Row(
        "import_time",
        "the core's names beyond torch's own import",
        {"repeats": repeats, "statistic": "median of fresh processes, file cache warm"},
    )
    _once()
    torch_seconds, ours = zip(*(_once() for _ in range(repeats)), strict=True)
    seconds = statistics.median(ours)
    row.add("import ddg_explorer after torch", seconds, "s", least=0.3, aim=0.1)
    row.add("slowest of them", max(ours), "s")
    row.add("import torch alone", statistics.median(torch_seconds), "s")
    return row


def _once() -> tuple[float, float]:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first, second = map(float, run.stdout.split())
    return first, second
