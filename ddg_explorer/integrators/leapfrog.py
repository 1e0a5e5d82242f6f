"""Leapfrog (Störmer–Verlet) for separable energies H = T(p) + V(q) with the canonical G = S.

    q½ = q + ½Δt ∇T(p),   p₁ = p − Δt ∇V(q½),   q₁ = q½ + ½Δt ∇T(p₁)

Explicit, symplectic, symmetric, order 2. The energy is not conserved but oscillates about its value
without drift, as long as Δt is below 2/ω of the fastest mode. q is the first and p the second half
of the last dimension of an ODE state `(*batch, d)`, or of the channels of `(*batch, C, *grid)`.

Source: E. Hairer, C. Lubich, G. Wanner, Acta Numerica 12 (2003) 399,
doi 10.1017/S0962492902000144.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.base import Integrator, Step, Stepper
from ddg_explorer.integrators.explicit import explicit_result


class LeapfrogStepper(Stepper):
    """Drift, kick, drift: one evaluation of ∇V and two of ∇T."""

    def __init__(self, dynamics: Dynamics) -> None:
        self.dynamics = dynamics
        self.dim = -len(dynamics.state_shape)

    @torch.no_grad()
    def step(self, u: Tensor, dt: float) -> Step:
        q, p = u.chunk(2, self.dim)
        q = q + dt / 2 * self.dynamics.kinetic_gradient(p)
        p = p - dt * self.dynamics.potential_gradient(q)
        q = q + dt / 2 * self.dynamics.kinetic_gradient(p)
        return explicit_result(self.dynamics, torch.cat([q, p], self.dim), 1)


class Leapfrog(Integrator):
    """Second-order, symplectic, symmetric, explicit; separable energies only."""

    name = "leapfrog"
    title = "Leapfrog"
    order = 2
    implicit = False
    preserves = (
        "the symplectic form exactly, for separable H with the canonical G; the energy oscillates "
        "about its value without drift while Δt is below the stability limit"
    )

    def stepper(self, dynamics: Dynamics) -> Stepper:
        if not dynamics.separable:
            raise ValueError(
                f"integrator='leapfrog': {type(dynamics).__name__} with "
                f"{type(dynamics.structure).__name__} does not declare an energy T(p) + V(q) with "
                "G = S; where it has one, a subclass tells so with `separable`, "
                "`kinetic_gradient(p)` and `potential_gradient(q)`"
            )
        return LeapfrogStepper(dynamics)
