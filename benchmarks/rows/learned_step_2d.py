"""One implicit step of a trained 2-D energy: time, and what is left of the law at each tolerance.

    |ΔH − Δxᵈ Δt ḡᵀGḡ| / |ΔH|,    ΔH and ḡ in float64

`python -m benchmarks.rows.learned_step_2d` trains the network anew: 3×3 stencils, two layers of 32,
quadratic skip, Levenberg–Marquardt.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.timing import cost_of
from ddg_explorer.models import EnergyModel
from ddg_explorer.models.files import load_model
from ddg_explorer.recipes import make_test
from ddg_explorer.rollout import Rollout

NETWORK = Path(__file__).parent.parent / "models" / "ch2d32.safetensors"
FRAME, WARM, SEGMENT, SEGMENTS = 40, 10, 5, 8
CASES = (
    (1e-4, 1e-10, {"least": 35.0, "aim": 15.0}),
    (1e-4, 1e-6, {"least": 10.0, "aim": 3.0}),
    (1e-3, 1e-10, {}),
    (1e-3, 1e-6, {}),
)
"""Δt, tolerance of the last update, bounds on ms a step."""


def measure(options: Options) -> Row:
    row = Row(
        "learned_step_2d",
        "one implicit step of a trained Cahn–Hilliard energy, 64², stencil net 9 → 32 → 32 → 1",
        {
            "network": NETWORK.name,
            "integrator": "discrete_gradient",
            "start": f"frame {FRAME} of the first test trajectory of recipe ch2d",
            "steps": WARM + SEGMENT * SEGMENTS,
        },
    )
    model = load_model(NETWORK)
    if not isinstance(model, EnergyModel):
        raise RuntimeError(f"{NETWORK.name}: not an energy model")
    model = model.requires_grad_(False).to(options.device)
    u0 = make_test("ch2d").u[0, FRAME].to(options.device)
    for dt, tol, bounds in CASES:
        _measure_case(row, model, u0, dt, tol, bounds, options)
    clock = "processor time of one thread" if options.on_cpu else "wall time"
    row.notes.append(f"ms are {clock}, the smallest of segments of 5 steps")
    row.notes.append("tolerance 1e-6 is the live mode: float32 increments on a float64 state")
    return row


def _measure_case(
    row: Row,
    model: EnergyModel,
    u0: Tensor,
    dt: float,
    tol: float,
    bounds: dict,
    options: Options,
) -> None:
    segments = 2 if options.quick else SEGMENTS
    rollout = Rollout(model, u0, dt, tol=tol)
    rollout.step(WARM)
    cost = cost_of(lambda: rollout.step(SEGMENT), SEGMENT, segments, options.device)
    row.saw(cost.wall / cost.median)
    if rollout.stopped:
        raise RuntimeError(rollout.stopped)
    defect, rise, residual = _law(model, u0, dt, tol, segments * SEGMENT)
    name = f"Δt {dt:g}, update {tol:g}"
    row.add(f"{name}: a step", 1e3 * cost.least, "ms", **bounds)
    row.add(f"{name}: median", 1e3 * cost.median, "ms")
    row.add(f"{name}: median wall time", 1e3 * cost.wall, "ms")
    row.add(f"{name}: law defect relative to |ΔH|, largest", defect)
    row.add(f"{name}: largest rise of H", max(rise, 0.0), least=0.0)
    row.add(f"{name}: largest residual reported", residual)


def _law(
    model: EnergyModel, u0: Tensor, dt: float, tol: float, steps: int
) -> tuple[float, float, float]:
    """Largest law defect relative to |ΔH|, change of H, and residual reported."""
    rollout = Rollout(model, u0, dt, tol=tol)
    defect, rise, residual = 0.0, -torch.inf, 0.0
    for _ in range(steps):
        u, before = rollout.u, rollout.frame.own_energy
        frame = rollout.step()
        g = model.discrete_gradient(frame.u, u)
        work = dt * model.cell_volume * float((g * model.structure.apply(g)).sum())
        change = float(frame.own_energy - before)
        defect = max(defect, abs(change - work) / abs(change))
        rise, residual = max(rise, change), max(residual, float(frame.residual))
    return defect, rise, residual


def train() -> None:
    """Train the network and write it with its card."""
    from ddg_explorer.budgets import budget
    from ddg_explorer.fitting import Fit
    from ddg_explorer.recipes import make_dataset

    plan = budget("ours", "cahn_hilliard_2d", "dgnet").with_options(rows=(600, 1800), steps=160)
    fit = Fit("dgnet", make_dataset("ch2d"), plan, hidden=32)
    for progress in fit:
        print(f"step {progress.step}: loss {progress.loss:.2e}")
    fit.model.save(NETWORK, fit.card("python -m benchmarks.rows.learned_step_2d"))


if __name__ == "__main__":
    sys.exit(train())
