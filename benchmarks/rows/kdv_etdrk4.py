"""KdV two-soliton at an error of 1e-6: our energy-preserving collocation against our ETDRK4.

Both run in this process on the same spectral discretisation; the error is that in time, against a
fine solution; the exact two-soliton solution is printed beside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.sweep import Target, Trial, adaptive, equal_steps, fine_solution, report
from benchmarks.timing import relative_error
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.base import System

BOUND = 1e-6
UNTIL, LONG = 6.0, 100.0
N, LENGTH = 256, 40.0
REFERENCE_STEPS = 1200
LAWFUL = ("collocation6", "collocation8")
STEPS = {"collocation6": (60, 500), "collocation8": (40, 300)}
POLISHED = {"adaptive": False, "tol": 1e-9, "scalar_polish": True}
"""Solved less tightly; one number per step restores the law. Its drift without is printed too."""
RTOLS = tuple(10 ** (-4 - k / 4) for k in range(17))


def measure(options: Options) -> Row:
    row = Row(
        "kdv_etdrk4",
        f"KdV two-soliton, {N} points, spectral, at temporal error {BOUND:g}",
        {
            "preset": "two_solitons",
            "n": N,
            "length": LENGTH,
            "until": UNTIL,
            "bound": BOUND,
            "reference": f"collocation8, {REFERENCE_STEPS} steps, tol 1e-13",
        },
    )
    system = SYSTEMS["kdv"](
        "two_solitons", n=N, length=LENGTH, operator="spectral", device=options.device
    )
    u0 = system.initial()
    reference = fine_solution(system, u0, UNTIL, REFERENCE_STEPS, options)
    row.add("fine solution against the exact one", relative_error(reference, system.exact(UNTIL)))
    target = Target(system, u0, UNTIL, reference, BOUND)
    schemes = [
        *(equal_steps(key, key, *STEPS[key], adaptive=False) for key in LAWFUL),
        *(adaptive(f"{key}, adaptive", key, RTOLS) for key in LAWFUL),
        *(equal_steps(f"{key}, polished", key, *STEPS[key], **POLISHED) for key in LAWFUL),
        equal_steps("ETDRK4", "etdrk4", 400, 3000, ratio=1.1),
    ]
    trials = [t for c in schemes if (t := target.first_within(c, options))]
    report(row, trials)
    lawful = [t for t in trials if t.label != "ETDRK4"]
    explicit = [t for t in trials if t.label == "ETDRK4"]
    if not lawful or not explicit:
        raise RuntimeError(f"no run within {BOUND}: only {[t.label for t in trials]}")
    best = min(lawful, key=lambda trial: trial.run.seconds)
    ratio = explicit[0].run.seconds / best.run.seconds
    row.add("times faster than ETDRK4", ratio, "×", better="higher", least=3.0, aim=6.0)
    _drift(row, system, best.label, best, options, least=1e-12, aim=1e-14)
    if getattr(best.integrator, "scalar_polish", False):
        make: Any = INTEGRATORS[best.integrator.name]
        plain = replace(best, integrator=make(**{**POLISHED, "scalar_polish": False}))
        _drift(row, system, f"{best.label}: before the polish", plain, options)
    _drift(row, system, "ETDRK4", explicit[0], options)
    return row


def _drift(
    row: Row, system: System, label: str, trial: Trial, options: Options, **bounds: Any
) -> None:
    """Largest relative energy drift up to t = LONG at multiples of the trial's Δt."""
    steps = round((10.0 if options.quick else LONG) / trial.run.dt)
    rollout = Rollout(system, system.initial(), trial.run.dt, trial.integrator)
    worst = 0.0
    first = rollout.frame.energy
    for frame in rollout.frames(steps):
        if frame.reason:
            raise RuntimeError(frame.reason)
        change = abs(float(frame.energy - first)) / max(abs(float(first)), system.energy_scale)
        worst = max(worst, change)
    row.add(f"{label}: drift to t = {rollout.t:.4g}", worst, **bounds)
