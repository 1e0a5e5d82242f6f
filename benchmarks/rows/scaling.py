"""Cahn–Hilliard in 2-D from 64² to 1024²: iterations stay flat, a step costs N log N."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.states import GAMMA, SEED, resample, spinodal_start
from benchmarks.timing import timed_run
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.base import System

SIZES = (64, 128, 256, 512, 1024)
DT = 1e-3
START, BASE = 0.01, 128
"""The state timed from: the labyrinth at this time, computed on BASE² and interpolated."""


def measure(options: Options) -> Row:
    sizes = SIZES[:3] if options.quick else SIZES
    steps = 3 if options.quick else 10
    row = Row(
        "scaling",
        f"discrete gradient on Cahn–Hilliard 2-D, Δt = {DT:g}: iterations and time of a step",
        {
            "operator": "spectral",
            "gamma": GAMMA,
            "dt": DT,
            "tol": 1e-10,
            "sizes": sizes,
            "steps": steps,
            "start": f"smooth noise, seed {SEED}, at t = {START}",
        },
    )
    base = _system(BASE, options)
    developed = Rollout(base, _start(base), 1e-4, tol=1e-10).step(round(START / 1e-4)).u
    iterations, seconds = [], []
    for n in sizes:
        system = _system(n, options)
        u0 = resample(developed, n)
        repeats = options.repeats(3 if n < 512 else 1)
        mean = _mean_iterations(system, u0, steps)
        run = timed_run(
            system, u0, DT, steps, "discrete_gradient", options, tol=1e-10, repeats=repeats
        )
        row.add(f"{n}²: ms per step", 1e3 * run.per_step, "ms")
        row.add(f"{n}²: iterations per step", mean)
        row.add(f"{n}²: largest residual", run.residual)
        row.saw(run.disturbance)
        iterations.append(mean)
        seconds.append(run.per_step)
    work = [n * n * math.log(n * n) for n in sizes]
    exponent = np.polyfit(np.log(work), np.log(seconds), 1)[0]
    spread = max(iterations) / min(iterations)
    row.add("iterations, most over fewest", spread, "×", least=1.5, aim=1.2)
    row.add("time ~ (N log N)^p: p", exponent, least=1.2, aim=1.05)
    ratio = seconds[-1] / seconds[0] / (work[-1] / work[0])
    row.add(f"time per N log N, {sizes[-1]}² over {sizes[0]}²", ratio, "×")
    return row


def _system(n: int, options: Options) -> System:
    return SYSTEMS["cahn_hilliard_2d"](
        "published", n=n, gamma=GAMMA, operator="spectral", device=options.device
    )


def _start(system: System) -> Tensor:
    return spinodal_start(BASE).to(system.device)


def _mean_iterations(system: System, u0: Tensor, steps: int) -> float:
    rollout = Rollout(system, u0, DT, "discrete_gradient", tol=1e-10)
    return float(np.mean([float(frame.iterations) for frame in rollout.frames(steps)]))
