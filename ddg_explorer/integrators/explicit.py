"""Explicit Runge–Kutta schemes with a fixed step: Euler, the explicit midpoint rule, classical RK4.

    kᵢ = f(u + Δt aᵢ kᵢ₋₁),   v = u + Δt Σᵢ bᵢ kᵢ,   f(u) = G(u) δH/δu

Each stage of these three needs the stage before it only, so a scheme is its two rows a and b. They
preserve linear invariants (mass) and nothing else, and are stable only up to a Δt set by the
stiffest mode (`System.explicit_limit`). States are `(*batch, d)` or `(*batch, C, *grid)`.

Source: E. Hairer, S. P. Nørsett, G. Wanner, Solving Ordinary Differential Equations I (1993),
§II.1, doi 10.1007/978-3-540-78862-1.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.base import Integrator, Step, Stepper

MASS_ONLY = "mass, where G conserves it; the energy law only as far as the error of the step goes"


def explicit_result(dynamics: Dynamics, value: Tensor, evaluations: int) -> Step:
    """The `Step` of a scheme that solves nothing: it fails where the state is not finite."""
    batch = dynamics.batch_shape(value)
    finite = torch.isfinite(value).flatten(len(batch)).all(-1)
    reason = ""
    if not bool(finite.all()):
        who = (
            "" if finite.numel() == 1 else f" in {int((~finite).sum())} of {finite.numel()} states"
        )
        reason = f"values are not finite{who}: the step is beyond the stability limit"
    return Step(
        value,
        value.new_zeros(batch),
        torch.full(batch, evaluations, dtype=torch.int64, device=value.device),
        finite,
        reason,
    )


class ExplicitStepper(Stepper):
    """Evaluates the rows a (stage fractions) and b (weights) of a chained Runge–Kutta scheme."""

    def __init__(
        self, dynamics: Dynamics, fractions: tuple[float, ...], weights: tuple[float, ...]
    ) -> None:
        self.dynamics = dynamics
        self.fractions = fractions
        self.weights = weights

    @torch.no_grad()
    def step(self, u: Tensor, dt: float) -> Step:
        value, k = u, u
        for a, b in zip(self.fractions, self.weights, strict=True):
            k = self.dynamics.rhs(torch.add(u, k, alpha=a * dt) if a else u)
            value = torch.add(value, k, alpha=b * dt) if b else value
        return explicit_result(self.dynamics, value, len(self.weights))


class ExplicitRungeKutta(Integrator):
    """Base of the schemes below; subclasses give the two rows."""

    implicit = False
    preserves = MASS_ONLY
    fractions: ClassVar[tuple[float, ...]]
    weights: ClassVar[tuple[float, ...]]

    def stepper(self, dynamics: Dynamics) -> Stepper:
        return ExplicitStepper(dynamics, self.fractions, self.weights)


class Euler(ExplicitRungeKutta):
    """v = u + Δt f(u); order 1. There to be seen failing.

    Steps are tangent to the level sets of an H that G conserves, so a convex H never falls; where
    H is not convex it may.
    """

    name = "euler"
    title = "Euler"
    order = 1
    fractions = (0.0,)
    weights = (1.0,)


class Midpoint(ExplicitRungeKutta):
    """v = u + Δt f(u + ½Δt f(u)); order 2 (RK2)."""

    name = "midpoint"
    title = "Explicit midpoint (RK2)"
    order = 2
    fractions = (0.0, 0.5)
    weights = (0.0, 1.0)


class RK4(ExplicitRungeKutta):
    """The classical scheme of Kutta; order 4."""

    name = "rk4"
    title = "Runge–Kutta 4"
    order = 4
    fractions = (0.0, 0.5, 0.5, 1.0)
    weights = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
