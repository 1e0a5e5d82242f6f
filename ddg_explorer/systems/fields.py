"""What field systems on a periodic grid share: difference operators and random smooth fields."""

from __future__ import annotations

from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.systems.builtin import PresetSystem
from ddg_explorer.systems.draw import Draw


class FieldSystem(PresetSystem):
    """A system on a periodic grid, with second-order or spectral derivatives."""

    grid: Grid
    operator: str

    def _prepare(self) -> None:
        self._laplacian_symbol = self.grid.laplacian_symbol(self.operator, self.dtype, self.device)

    def laplacian(self, u: Tensor) -> Tensor:
        """Δu by the system's operator."""
        if self.operator == "finite_difference":
            return self.grid.laplacian(u)
        return self.grid.irfft(self._laplacian_symbol.to(u.dtype) * self.grid.rfft(u))

    def dirichlet(self, u: Tensor) -> Tensor:
        """∫|∇u|² dx over the grid, per channel.

        Finite differences: Σ|∂₊u|² Δxᵈ, which on a periodic grid equals the mean over ∂₊ and ∂₋.
        Spectral: −∫u Δu dx.
        """
        if self.operator == "spectral":
            return -self.grid.integral(u * self.laplacian(u))
        total = self.grid.integral(self.grid.forward_difference(u, -1).square())
        for axis in self.grid.axes[:-1]:
            total = total + self.grid.integral(self.grid.forward_difference(u, axis).square())
        return total

    def coordinates(self) -> tuple[Tensor, ...]:
        """Node coordinates in float64 on the CPU, where initial states are made."""
        return self.grid.coordinates()

    def noise(self, draw: Draw, low: float, high: float) -> Tensor:
        """Independent U(low, high) numbers at every node, shape (1, 1, *grid)."""
        return draw.uniform(low, high, 1, *self.grid.shape)


def column(values: Tensor, ndim: int) -> Tensor:
    """View (1,) numbers so that they broadcast over (1, 1, *grid)."""
    return values.reshape(-1, 1, *(1,) * ndim)
