"""Structure operators G of du/dt = G ∇H(u).

A structure operator acts linearly on the variational derivative g = ∇̄H / Δxᵈ, shape `(..., d)` for
an ODE and `(..., C, *grid)` for a field. Its flags hold by construction:

* skew, Gᵀ = −G: the energy is conserved;
* dissipative, ½(G + Gᵀ) ≤ 0 (so every skew G counts): the energy never rises;
* mass-conserving, 1ᵀG = 0: ∫u stays constant;
* isotropic: G commutes with the grid's rotations and reflections.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.grids import Grid, check_operator


class Structure:
    """A linear operator G(u) with declared algebraic properties.

    `apply(g, u)` is G(u) g; `u` is the state at which a state-dependent G is taken (the midpoint of
    the step, in every discrete scheme here) and is ignored by a constant G.
    """

    is_skew: bool = False
    is_dissipative: bool = False
    conserves_mass: bool = False
    is_isotropic: bool = False
    state_dependent: bool = False

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not define apply(g, u)")

    def symbol(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> Tensor | None:
        """Fourier symbol on the grid's half shape, or None where G is no convolution."""
        return None


class CentralDerivative(Structure):
    """∂/∂x along the last axis of a periodic grid: skew and mass-conserving (KdV)."""

    is_skew = True
    is_dissipative = True
    conserves_mass = True

    def __init__(self, grid: Grid, operator: str = "finite_difference") -> None:
        self.grid = grid
        self.operator = check_operator(operator)

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        if self.operator == "finite_difference":
            return self.grid.central_difference(g)
        return self.grid.irfft(self.symbol(g.dtype, g.device) * self.grid.rfft(g))

    def symbol(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> Tensor:
        return self.grid.derivative_symbol(-1 % self.grid.ndim, self.operator, dtype, device)


STRUCTURES = {"d_dx": CentralDerivative}
