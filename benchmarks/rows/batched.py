"""The published KdV data set in one batch, against MINPACK's fsolve one trajectory at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.timing import timed_run
from ddg_explorer.diagnostics import drift
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.base import System

TRAJECTORIES, STEPS, DT = 100, 500, 1e-3
RESIDUAL = 1e-12
SOLVED_WITH_FSOLVE, STEPS_WITH_FSOLVE = 5, 20


def measure(options: Options) -> Row:
    steps = 50 if options.quick else STEPS
    system = SYSTEMS["kdv"]("published", device=options.device)
    row = Row(
        "batched",
        f"{TRAJECTORIES} KdV trajectories of the published recipe, 50 points, {steps} steps",
        {
            "preset": "published",
            "integrator": "discrete_gradient",
            "tol": RESIDUAL,
            "dt": DT,
            "steps": steps,
            "trajectories": TRAJECTORIES,
            "seed": 0,
        },
    )
    u0 = system.initial(seed=0, batch=TRAJECTORIES)
    run = timed_run(
        system,
        u0,
        DT,
        steps,
        "discrete_gradient",
        options,
        tol=RESIDUAL,
        repeats=options.repeats(3),
    )
    row.saw(run.disturbance)
    seconds = run.seconds * STEPS / steps
    row.add(f"all trajectories, {STEPS} steps", seconds, "s", least=6.0, aim=1.0)
    row.add("largest residual of any step", run.residual, least=RESIDUAL)
    row.add("iterations of the hardest step, mean over trajectories", run.iterations)
    energies = torch.stack([system.energy(u0), system.energy(run.u)])
    row.add("largest energy drift", drift(energies, system.energy_scale).max())
    _compare(row, system, u0, seconds)
    return row


def _compare(row: Row, system: System, u0: torch.Tensor, seconds: float) -> None:
    """Time fsolve on the same equation for a few steps of a few trajectories, and extrapolate."""
    from scipy.optimize import fsolve

    equation = _equation(system)
    elapsed, evaluations, residual, states = 0.0, 0, 0.0, []
    for start in u0[:SOLVED_WITH_FSOLVE, 0].cpu().numpy():
        u = start
        begin = time.perf_counter()
        for _ in range(STEPS_WITH_FSOLVE):
            answer: Any = fsolve(equation, u, args=(u,), xtol=1e-13, full_output=True)
            v, info, ok, message = answer
            evaluations += info["nfev"]
            residual = max(residual, float(np.abs(info["fvec"]).max()))
            if ok != 1 and residual > RESIDUAL:
                raise RuntimeError(f"fsolve: {message}")
            u = v
        elapsed += time.perf_counter() - begin
        states.append(u)
    solves = SOLVED_WITH_FSOLVE * STEPS_WITH_FSOLVE
    total = elapsed / solves * TRAJECTORIES * STEPS
    again = Rollout(system, u0[:SOLVED_WITH_FSOLVE], DT, tol=RESIDUAL).step(STEPS_WITH_FSOLVE)
    difference = np.abs(again.u[:, 0].cpu().numpy() - np.stack(states)).max()
    row.add(f"fsolve, extrapolated from {solves} of {TRAJECTORIES * STEPS} solves", total, "s")
    row.add("fsolve: evaluations per solve", evaluations / solves)
    row.add("fsolve: largest residual", residual)
    row.add("times faster than fsolve one by one", total / seconds, "×", better="higher")
    row.add(f"states differ after {STEPS_WITH_FSOLVE} steps by", difference)
    row.notes.append("fsolve gets the same equation in plain numpy, its cheapest form")


def _equation(system: System) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """v − u − Δt ∂x ḡ(v, u) with ḡ = −α/6 (u² + uv + v²) + β/2 Δ(u + v), central differences."""
    assert system.grid is not None
    dx = system.grid.spacing[0]
    alpha, beta = system.values["alpha"], system.values["beta"]

    def residual(v: np.ndarray, u: np.ndarray) -> np.ndarray:
        w = u + v
        curvature = np.roll(w, -1) - 2 * w + np.roll(w, 1)
        g = (-alpha / 6) * (u * u + v * w) + (beta / 2 / dx**2) * curvature
        return v - u - DT * (np.roll(g, -1) - np.roll(g, 1)) / (2 * dx)

    return residual
