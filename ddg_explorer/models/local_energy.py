"""An energy with a structural prior: a free density of the value, and the gradient's square.

    H(u) = ∫ e(u) + ½ Σ_c κ_c |∇u_c|² dx,    |∇u|² = Σ_axes (∂₊u)²

e is a network that sees the C values at one point, κ one learned number per channel. So energies of
the Ginzburg–Landau form only: KdV, Cahn–Hilliard and the wave equation have it. Whatever the
weights, H is invariant under every rotation and reflection that maps the grid onto itself. Where
states are noisy this is worth more than freedom: a network of the whole stencil fits the noise of
its differences.

States are `(..., C, *grid)`, everything nondimensional. J. W. Cahn and J. E. Hilliard, J. Chem.
Phys. 28 (1958) 258, doi 10.1063/1.1744102.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ddg_explorer.grids import Grid
from ddg_explorer.models.networks import EnergyNetwork


class LocalEnergy(nn.Module):
    """H of the module's equation; `(..., C, *grid) → (...)`.

    Attributes
    ----------
    local
        e, an `EnergyNetwork` of width 1; its `density` has C features.
    stiffness, unit
        κ is their product, `(C,)`. The stiffness is learned from 0; the unit, fitted to the data,
        makes it of order 1.
    """

    def __init__(self, state_shape: tuple[int, ...], grid: Grid, **options: Any) -> None:
        super().__init__()
        self.grid = grid
        self.local = EnergyNetwork(state_shape, grid, width=1, **options)
        like = self.local.density.scale
        self.stiffness = nn.Parameter(torch.zeros(state_shape[0], dtype=like.dtype))
        self.unit: Tensor
        self.register_buffer("unit", torch.ones(state_shape[0], dtype=like.dtype))

    @property
    def kappa(self) -> Tensor:
        """κ of every channel."""
        return self.stiffness * self.unit

    def forward(self, u: Tensor) -> Tensor:
        return self.local(u) + 0.5 * (self.kappa * dirichlet(u, self.grid)).sum(-1)


def dirichlet(u: Tensor, grid: Grid) -> Tensor:
    """∫ |∇u|² of every channel, `(..., C)`."""
    terms = [grid.forward_difference(u, axis).square() for axis in grid.axes]
    return grid.integral(sum(terms[1:], terms[0]))
