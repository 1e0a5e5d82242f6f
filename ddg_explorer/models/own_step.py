"""The step that a learned law belongs to: that of its training.

    v − u = Δt Φ_θ(v, u, Δt)   for exact data:   θ takes up the O(Δt²) by which Φ misses the motion

For the oscillator and the discrete gradient, H_θ = H tan(ωΔt/2)/(ωΔt/2). So such a model predicts
well with its training scheme at the Δt of its data, and with another step is off by what it took
up. Data that obey the same difference equation leave nothing to take up, and Dormand–Prince, which
takes as many steps within Δt as it needs, misses next to nothing.
"""

from __future__ import annotations

import math

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.models.base import Model

SAME = 1e-5
"""Relative difference of two Δt that is rounding: that of the six digits in which they are told."""
REASON = "a model takes up what its training scheme misses at its own Δt"


def step_note(dynamics: Dynamics, dt: float, integrator: str) -> str:
    """One line where `dynamics` is a model that belongs to another step than this one, else "".

    Parameters
    ----------
    dynamics
        What is advanced; of a system, or of a model whose card does not tell the Δt of its data,
        nothing is said.
    dt, integrator
        Δt (nondimensional), and key of `INTEGRATORS`.
    """
    if not isinstance(dynamics, Model) or dynamics.scheme == "dopri5":
        return ""
    own, learned = dynamics.integrators[0], learned_dt(dynamics)
    made = dynamics.card.get("data", {}).get("recipe", {}).get("integrator")
    if learned is None or made == own:
        return ""
    before = here = ""
    if integrator != own:
        before, here = (f" with {key.replace('_', ' ')}" for key in (own, integrator))
    if not math.isclose(dt, learned, rel_tol=SAME):
        before, here = f"{before} at Δt = {learned:.6g}", f"{here} at {dt:.6g}"
    return f"learned{before}, stepped{here}: {REASON}" if before else ""


def learned_dt(model: Model) -> float | None:
    """Δt of the data that the model learned, None where its card does not tell."""
    data = model.card.get("data", {})
    return data.get("dt", data.get("recipe", {}).get("dt"))
