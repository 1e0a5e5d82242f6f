"""Neural ODE: u̇ = f_θ(u), no law at all.

A field's f_θ sees a stencil of width 5, as the third and fourth differences of KdV and
Cahn–Hilliard need, and is the same at every site.

Source: R. T. Q. Chen et al., NeurIPS 2018, arXiv:1806.07366.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.models.base import Model
from ddg_explorer.models.networks import VectorField
from ddg_explorer.structure import Structure


class NODE(Model):
    """u̇ = f_θ(u); has neither energy nor structure, so no law holds by construction."""

    key = "node"
    title = "Neural ODE"
    schemes = ("rk2", "dopri5")

    def __init__(
        self,
        network: VectorField,
        structure: Structure | None,
        state_shape: tuple[int, ...],
        grid: Grid | None,
        **options: Any,
    ) -> None:
        super().__init__(state_shape, grid, **options)
        self.network = network

    @property
    def has_energy(self) -> bool:
        return False

    def energy(self, u: Tensor) -> Tensor:
        raise ValueError("a neural ODE has no energy")

    def rhs(self, u: Tensor) -> Tensor:
        """f_θ(u)."""
        return self.network(u)

    def discrete_rhs(self, v: Tensor, u: Tensor, dt: float) -> Tensor:
        raise ValueError("a neural ODE has no discrete gradient; use midpoint, rk4 or dopri5")
