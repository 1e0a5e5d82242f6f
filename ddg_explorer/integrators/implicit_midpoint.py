"""The implicit midpoint rule.

    (v − u)/Δt = G(m) ∇H(m)/Δxᵈ,   m = (u + v)/2

Symplectic for constant skew G; conserves every quadratic invariant, not the energy itself.

Source: E. Hairer, C. Lubich, G. Wanner, Geometric Numerical Integration (2006), §II.1 and §IV.2,
doi 10.1007/3-540-30666-8.
"""

from __future__ import annotations

from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.one_step import OneStep


class ImplicitMidpoint(OneStep):
    """Second-order, symmetric, symplectic, implicit; see the module's equation."""

    name = "implicit_midpoint"
    title = "Implicit midpoint"
    order = 2
    implicit = True
    preserves = (
        "quadratic invariants (so a quadratic H, and mass) up to the reported residual, and the "
        "symplectic form for constant skew G; other energies only approximately"
    )

    def slope(self, dynamics: Dynamics, v: Tensor, u: Tensor, dt: float) -> Tensor:
        return dynamics.rhs((u + v) / 2)

    def gradient(self, dynamics: Dynamics, v: Tensor, u: Tensor) -> Tensor:
        return dynamics.gradient((u + v) / 2)

    def nonlinear(self, dynamics: Dynamics, v: Tensor, u: Tensor) -> Tensor:
        return dynamics.nonlinear_gradient((u + v) / 2)
