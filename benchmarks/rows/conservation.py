"""Conservative systems: the energy change of one step, and the drift over ten thousand."""

from __future__ import annotations

import torch

from benchmarks.machine import Options
from benchmarks.report import Row
from ddg_explorer.diagnostics import drift, law_bound
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS
from ddg_explorer.systems.base import System


def measure(options: Options) -> Row:
    steps = 200 if options.quick else 10_000
    row = Row(
        "conservation",
        f"discrete gradient, G skew: ΔH of one step and drift over {steps} steps, float64",
        {"integrator": "discrete_gradient", "tol": 1e-12, "steps": steps, "seed": 0},
    )
    systems = {
        "pendulum": SYSTEMS["pendulum"]("swing", device=options.device),
        "KdV, 256 points": SYSTEMS["kdv"]("two_solitons", n=256, device=options.device),
    }
    for label, system in systems.items():
        row.recipe[label] = {"preset": system.preset, "dt": system.dt, "operator": system.operator}
        _follow(row, label, system, steps)
    row.notes.append("all relative to max(|H₀|, H-scale); H-scale: System.energy_scale")
    row.notes.append("what the residual allows one step: Δxᵈ ‖δH/δu‖₁ (residual + rounding of u)")
    return row


def _follow(row: Row, label: str, system: System, steps: int) -> None:
    rollout = Rollout(system, system.initial(0), system.dt, "discrete_gradient")
    first = rollout.frame
    scale = max(abs(float(first.energy)), system.energy_scale)
    energies, allowed, residuals, iterations = [first.energy], [0.0], [0.0], 0
    for frame in rollout.frames(steps):
        if frame.reason:
            raise RuntimeError(frame.reason)
        energies.append(frame.energy)
        residuals.append(float(frame.residual))
        iterations += int(frame.iterations)
        allowed.append(float(law_bound(system, frame.u, frame.residual)) / scale)
    energy = torch.stack(energies)
    change = energy.diff().abs() / scale
    largest = int(change.argmax())
    bound = 1e-14 + allowed[largest + 1]
    row.add(f"{label}: largest |ΔH| of one step", change[largest], least=bound, aim=1e-15)
    row.add(f"{label}: median |ΔH| of one step", change.median())
    row.add(f"{label}: what the residual allows that step", allowed[largest + 1])
    row.add(f"{label}: largest residual", max(residuals))
    worst = drift(energy, system.energy_scale).max()
    row.add(f"{label}: drift over {steps} steps", worst, least=1e-11, aim=1e-12)
    if first.mass is not None and rollout.frame.mass is not None:
        row.add(f"{label}: mass drift", (rollout.frame.mass - first.mass).abs().max())
    row.add(f"{label}: iterations per step", iterations / steps)
