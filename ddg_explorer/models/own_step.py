"""The step that a learned law belongs to: that of its training.

    v − u = Δt Φ_θ(v, u, Δt)   for exact data:   θ takes up the O(Δt²) by which Φ misses the motion

For the oscillator and the discrete gradient, H_θ = H tan(ωΔt/2)/(ωΔt/2). So such a model predicts
well with its training scheme at the Δt of its data, and with another step is off by what it took
up. Data that obey the same difference equation, made by the same scheme with one step between two
frames, leave nothing to take up, and Dormand–Prince, which takes as many steps within Δt as it
needs, misses next to nothing.
"""

from __future__ import annotations

import math
from typing import Any, TypeGuard

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
    scheme, learned = departed(dynamics, dt, integrator)
    before = here = ""
    if scheme is not None:
        before, here = (f" with {key.replace('_', ' ')}" for key in (scheme, integrator))
    if learned is not None:
        before, here = f"{before} at Δt = {learned:.6g}", f"{here} at {dt:.6g}"
    return f"learned{before}, stepped{here}: {REASON}" if before else ""


def departed(dynamics: Dynamics, dt: float, integrator: str) -> tuple[str | None, float | None]:
    """The scheme and the Δt that a model belongs to, of `step_note`; None for each that is the same
    here, and for both where there is nothing to say."""
    if not isinstance(dynamics, Model) or dynamics.scheme == "dopri5":
        return None, None
    own, learned = dynamics.integrators[0], learned_dt(dynamics)
    if learned is None or _same_equation(_recipe(dynamics), own, learned):
        return None, None
    return None if integrator == own else own, None if _close(dt, learned) else learned


def learned_dt(model: Model) -> float | None:
    """Δt of the data that the model learned, None where its card does not tell.

    Cards of older files note it in the recipe of the data only, whose other notes are free.
    """
    known = model.card.get("data", {}).get("dt", _recipe(model).get("dt"))
    return known if _is_step(known) else None


def _recipe(model: Model) -> dict[str, Any]:
    return model.card.get("data", {}).get("recipe", {})


def _same_equation(recipe: dict[str, Any], scheme: str, dt: float) -> bool:
    """Whether the data obey the equation of one step of this scheme."""
    made = recipe.get("dt")
    return recipe.get("integrator") == scheme and _is_step(made) and _close(made, dt)


def _is_step(dt: Any) -> TypeGuard[float]:
    return isinstance(dt, int | float) and not isinstance(dt, bool) and 0 < dt < math.inf


def _close(dt: float, other: float) -> bool:
    return math.isclose(dt, other, rel_tol=SAME)
