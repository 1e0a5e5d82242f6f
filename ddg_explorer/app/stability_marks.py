"""Where explicit schemes of a learned lane become unstable: Δt ≈ reach/ρ.

ρ is the spectral radius of the model's right-hand side, linearised about the present state by power
iteration; `reach` is where the scheme leaves its stability region. Euler and the midpoint rule have
a limit on the real axis only: it is known for a G that dissipates and is not skew, while waves grow
slowly under them at any Δt. Adaptive and implicit schemes have no such limit.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.systems.stability import RK4_RADIUS, power_iteration

REACH = {"rk4": RK4_RADIUS, "leapfrog": 2.0}
REAL_REACH = {"euler": 2.0, "midpoint": 2.0}


class LaneLimit:
    """The limit of one lane, computed anew only for another model or scheme."""

    def __init__(self) -> None:
        self._known: tuple[Dynamics, str] | None = None
        self._value = math.nan

    def __call__(self, dynamics: Dynamics, scheme: str, u: Tensor) -> float:
        """Rough largest Δt; NaN for a scheme without a limit, or where it is not known."""
        reach = REACH.get(scheme)
        if reach is None and _falls(dynamics):
            reach = REAL_REACH.get(scheme)
        if reach is None:
            return math.nan
        known = self._known
        if known is None or known[0] is not dynamics or known[1] != scheme:
            with torch.no_grad():
                radius = power_iteration(dynamics, u)
            self._known = (dynamics, scheme)
            self._value = reach / radius if radius > 0 else math.nan
        return self._value


def _falls(dynamics: Dynamics) -> bool:
    """Whether G damps: then the fast motion is decay, on the real axis."""
    if not dynamics.has_energy:
        return False
    return dynamics.structure.is_dissipative and not dynamics.structure.is_skew
