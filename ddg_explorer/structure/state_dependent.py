"""Structure operators that depend on the state: u̇ = G(u) δH/δu, G taken at the step's midpoint.

    ∇·(M(u)₊ ∇ ·)              dissipative, conserves mass: Cahn–Hilliard with a mobility
    A(u) − A(u)ᵀ               skew: Lie–Poisson and Lotka–Volterra systems, learned brackets
    −A(u) A(u)ᵀ                dissipative

The discrete law holds for any state at which G is taken, as long as one and the same G(u) is skew
or dissipative. Where a callable is an `nn.Module` it can be learned.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ddg_explorer.grids import Grid, check_operator
from ddg_explorer.structure.base import Structure
from ddg_explorer.structure.checks import check_grid, check_optional_grid
from ddg_explorer.structure.fields import CentralDerivative


class StateDependent(Structure):
    """G(u) given as a function `(g, u) → G(u) g`, with flags its author vouches for.

    The flags are promises: they cannot be checked for every u. `report(u)` measures them at one.

    Parameters
    ----------
    function
        Linear in g; shapes `(..., d)` or `(..., C, *grid)`.
    is_skew, is_dissipative, conserves_mass, is_isotropic
        What holds at every u; skew implies dissipative.
    """

    state_dependent = True

    def __init__(
        self,
        function: Callable[[Tensor, Tensor], Tensor],
        *,
        grid: Grid | None = None,
        is_skew: bool = False,
        is_dissipative: bool = False,
        conserves_mass: bool = False,
        is_isotropic: bool = False,
    ) -> None:
        self.function = function
        self.module = function if isinstance(function, nn.Module) else None
        self.grid = check_optional_grid(grid)
        self.is_skew = is_skew
        self.is_dissipative = is_skew or is_dissipative
        self.conserves_mass = conserves_mass
        self.is_isotropic = is_isotropic

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        return self.function(g, state_of(u))


class StateMatrix(Structure):
    """G(u) from a function `u → A(u)`, `(..., d) → (..., d, d)`, for an ODE.

    law "skew": G = A − Aᵀ; "dissipative": G = −A Aᵀ; "free": G = A, without any guarantee. Skew and
    dissipative parts together are a sum of two.
    """

    LAWS = ("skew", "dissipative", "free")
    state_dependent = True

    def __init__(self, function: Callable[[Tensor], Tensor], law: str = "skew") -> None:
        if law not in self.LAWS:
            raise ValueError(f"law={law!r}: use one of {', '.join(self.LAWS)}")
        self.function = function
        self.module = function if isinstance(function, nn.Module) else None
        self.is_skew = law == "skew"
        self.is_dissipative = law != "free"

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        a = self.function(state_of(u))
        if self.is_skew:
            return torch.einsum("...ij,...j->...i", a - a.mT, g)
        if self.is_dissipative:
            return -torch.einsum("...ij,...j->...i", a, torch.einsum("...ji,...j->...i", a, g))
        return torch.einsum("...ij,...j->...i", a, g)


class MobilityStructure(Structure):
    """G(u) = ∇·(M(u)₊ ∇ ·): symmetric, dissipative and mass-conserving at every u.

    M₊ = max(M, 0) is part of the definition, so the law holds for any M. In finite differences
    this is the flux form

        (G g)ᵢ = (Fᵢ₊½ − Fᵢ₋½)/Δx,   Fᵢ₊½ = ½(Mᵢ + Mᵢ₊₁)(gᵢ₊₁ − gᵢ)/Δx

    along each axis; in spectral form Σ ∂(M ∂g), with ∂ zero at an even grid's Nyquist wavenumber.

    Parameters
    ----------
    grid, operator
        Periodic grid, "finite_difference" or "spectral".
    mobility
        `u → M(u)`, broadcastable to u, which looks at u point by point (that makes G isotropic); an
        `nn.Module` can be learned. Degenerate Cahn–Hilliard: `lambda u: 1 - u**2`.
    """

    grid: Grid
    is_dissipative = True
    conserves_mass = True
    is_isotropic = True
    state_dependent = True

    def __init__(
        self,
        grid: Grid,
        mobility: Callable[[Tensor], Tensor],
        operator: str = "finite_difference",
    ) -> None:
        self.grid = check_grid(grid)
        self.operator = check_operator(operator)
        self.mobility = mobility
        self.module = mobility if isinstance(mobility, nn.Module) else None
        self._slopes = [CentralDerivative(grid, "spectral", axis=axis) for axis in grid.axes]

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        state = state_of(u)
        mobility = self.mobility(state).clamp(min=0).expand_as(state)
        if self.operator == "spectral":
            terms = [slope.apply(mobility * slope.apply(g)) for slope in self._slopes]
        else:
            terms = [self._flux_form(g, mobility, axis) for axis in self.grid.axes]
        return sum(terms[1:], terms[0])

    def _flux_form(self, g: Tensor, mobility: Tensor, axis: int) -> Tensor:
        face = torch.roll(mobility, -1, axis).add_(mobility)
        flux = torch.roll(g, -1, axis).sub_(g) * face
        return torch.roll(flux, 1, axis).sub_(flux).mul_(-0.5 / self.grid.spacing[axis] ** 2)


def state_of(u: Tensor | None) -> Tensor:
    """`u`, or ValueError where a state-dependent operator gets none."""
    if u is None:
        raise ValueError("u=None: this operator depends on the state; pass it to apply(g, u)")
    return u
