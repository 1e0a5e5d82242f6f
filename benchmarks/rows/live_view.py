"""Frames painted in Chromium and the time to the first one: measured by `benchmarks.live_view`."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.machine import ROOT, Options, all_cores
from benchmarks.report import Row


def measure(options: Options) -> Row:
    """Run `python -m benchmarks.live_view --json`.

    Its last line is {"figures": [{label, value, unit, least, aim, better}], "recipe": {…}}.
    """
    row = Row("live_view", "painted frames per second in Chromium, page load to first frame", {})
    command = [sys.executable, "-m", "benchmarks.live_view", "--json"]
    command += ["--quick"] if options.quick else []
    with all_cores():
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if run.returncode != 0:
        last = (run.stderr or run.stdout).strip().splitlines()[-1:]
        row.unavailable = "".join(last) or f"exit status {run.returncode}"
        return row
    answer = json.loads(run.stdout.strip().splitlines()[-1])
    row.recipe = answer["recipe"]
    for figure in answer["figures"]:
        row.add(**figure)
    return row
