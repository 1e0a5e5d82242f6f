"""The discrete-gradient method: the discrete energy law holds at any Δt that is solved.

    (v − u)/Δt = G((u + v)/2) ∇̄H(v, u)/Δxᵈ,   ∇̄H(v, u)·(v − u) = H(v) − H(u)

so ΔH = Δxᵈ(Δt ḡᵀḠḡ + ḡ·r) with the residual r of the solve: exactly conserved for skew Ḡ and never
rising for negative semi-definite Ḡ, up to r.

Source: T. Matsubara, A. Ishikawa, T. Yaguchi, NeurIPS 2020, arXiv:1905.08604; O. Gonzalez,
J. Nonlinear Sci. 6 (1996) 449, doi 10.1007/BF02440162.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ddg_explorer.dynamics import Dynamics, Increments
from ddg_explorer.integrators.one_step import OneStep


class DiscreteGradient(OneStep):
    """Second-order, symmetric, implicit; see the module's equation."""

    name = "discrete_gradient"
    title = "Discrete gradient"
    order = 2
    implicit = True
    preserves = (
        "the energy law: conserved for skew G, never rising for dissipative G, and mass where G "
        "conserves it, up to the reported residual, at any Δt whose solve converged"
    )

    def slope(self, dynamics: Dynamics, v: Tensor, u: Tensor, dt: float) -> Tensor:
        return dynamics.discrete_rhs(v, u, dt)

    def gradient(self, dynamics: Dynamics, v: Tensor, u: Tensor) -> Tensor:
        return dynamics.discrete_gradient(v, u)

    def nonlinear(self, dynamics: Dynamics, v: Tensor, u: Tensor) -> Tensor:
        return dynamics.nonlinear_discrete_gradient(v, u)

    def split(self, dynamics: Dynamics, u: Tensor, c: float) -> Callable[[Tensor], Tensor]:
        return dynamics.split_discrete_gradient(u, c)

    def increments(self, dynamics: Dynamics) -> Increments | None:
        return dynamics.increments()
