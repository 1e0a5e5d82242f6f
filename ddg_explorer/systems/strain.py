"""Structure operator of the wave equation in strain and velocity: e_t = v_x, v_t = c² e_x − r v."""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.structure import CentralDerivative, Structure


class StrainDerivative(Structure):
    """G = [[0, ∂x], [∂x, −r]] on the channels (e, v): skew for r = 0, dissipative for r ≥ 0."""

    def __init__(self, grid: Grid, operator: str, friction: float = 0.0) -> None:
        self.grid = grid
        self.friction = friction
        self.derivative = CentralDerivative(grid, operator)
        self.is_skew = friction == 0
        self.is_dissipative = friction >= 0
        self.conserves_mass = friction == 0

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        swapped = self.derivative.apply(g.flip(-2), u)
        if self.friction == 0:
            return swapped
        return swapped - self.friction * torch.cat(
            [torch.zeros_like(g[..., :1, :]), g[..., 1:, :]], -2
        )

    def symbol(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> Tensor:
        slope = self.derivative.symbol(dtype, device)
        zero = torch.zeros_like(slope)
        rows = [torch.stack([zero, slope]), torch.stack([slope, zero - self.friction])]
        return torch.stack(rows)
