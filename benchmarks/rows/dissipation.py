"""Cahn–Hilliard in 2-D: the energy never rises, the mass stays, from small to large Δt."""

from __future__ import annotations

from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.states import SEED
from ddg_explorer.diagnostics import Summary
from ddg_explorer.rollout import Rollout
from ddg_explorer.systems import SYSTEMS

DTS = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 4e-3)


def measure(options: Options) -> Row:
    steps = 20 if options.quick else 1000
    system = SYSTEMS["cahn_hilliard_2d"]("published", device=options.device)
    row = Row(
        "dissipation",
        f"discrete gradient on Cahn–Hilliard 2-D, 64², γ = 5e-4: {steps} steps from noise of ±0.05",
        {
            "preset": "published",
            "operator": system.operator,
            "integrator": "discrete_gradient",
            "tol": 1e-12,
            "dts": DTS,
            "steps": steps,
            "seed": SEED,
        },
    )
    rises, masses = 0, []
    for dt in DTS:
        rollout = Rollout(system, system.initial(SEED), dt, "discrete_gradient")
        summary, raw = Summary(rollout), 0
        largest, last = float("-inf"), rollout.frame.energy
        for frame in rollout.frames(steps):
            if frame.reason:
                raise RuntimeError(frame.reason)
            summary.add(frame)
            change = float(frame.energy - last) / abs(float(last))
            largest, last, raw = max(largest, change), frame.energy, raw + (change > 0)
        figures = summary.figures()
        row.add(f"Δt {dt:g}: largest ΔH/|H| of a step (a rise if positive)", largest)
        row.add(f"Δt {dt:g}: rises of any size, rounding included", raw)
        row.add(f"Δt {dt:g}: largest residual", figures["max_residual"])
        rises += int(figures["energy_rises"] or 0)
        masses.append(figures["mass_drift"])
    row.add("energy rises beyond residual and rounding, all Δt", rises, least=0, aim=0)
    row.add("mass drift, worst Δt", max(masses), least=1e-13, aim=1e-14)
    return row
