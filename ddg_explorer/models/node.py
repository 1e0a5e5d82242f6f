"""Neural ODE: u̇ = f_θ(u), no law at all.

A field's f_θ sees a stencil of width 5 unless asked otherwise, as the third and fourth differences
of KdV and Cahn–Hilliard need (the published one has width 3), and is the same at every site.

Source: R. T. Q. Chen et al., NeurIPS 2018, arXiv:1806.07366.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ddg_explorer.grids import Grid
from ddg_explorer.models.base import Model
from ddg_explorer.structure import Structure

NO_LAW = "a neural ODE has neither an energy nor a G: use midpoint, rk4, dopri5 or euler"


class NoLaw(AttributeError, ValueError):
    """There is no G; an AttributeError too, so that `hasattr(model, "structure")` is False."""


class NODE(Model):
    """u̇ = f_θ(u); has neither energy nor structure, so no law holds by construction."""

    key = "node"
    title = "Neural ODE"
    schemes = ("rk2", "dopri5")

    def __init__(
        self,
        network: nn.Module,
        structure: Structure | None,
        state_shape: tuple[int, ...],
        grid: Grid | None,
        **options: Any,
    ) -> None:
        if structure is not None:
            raise ValueError(f"structure={type(structure).__name__}: a neural ODE takes none")
        super().__init__(state_shape, grid, **options)
        self.network = network

    @property
    def has_energy(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        """There is no `structure`: `NoLaw` with the schemes that need none."""
        if name == "structure":
            raise NoLaw(NO_LAW)
        return super().__getattr__(name)

    def energy(self, u: Tensor) -> Tensor:
        """There is none: ValueError."""
        raise ValueError(NO_LAW)

    def rhs(self, u: Tensor) -> Tensor:
        """f_θ(u)."""
        return self.network(u)

    def discrete_rhs(self, v: Tensor, u: Tensor, dt: float) -> Tensor:
        """There is none: ValueError."""
        raise ValueError(NO_LAW)
