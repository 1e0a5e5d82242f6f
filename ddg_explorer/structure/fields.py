"""Structure operators of field theories on periodic grids.

    ∂x    (shift₊ − shift₋)/(2Δx)        skew, conserves mass: Korteweg–de Vries
    Δ     Σ (shift₊ − 2 + shift₋)/Δx²    dissipative, conserves mass, isotropic: Cahn–Hilliard
    −I                                    dissipative, isotropic: Allen–Cahn
    [[0, ∂x], [∂x, −r]]                   skew for r = 0: the wave equation in strain and velocity

Each difference has a spectral twin, ik and −|k|². Fields are `(..., C, *grid)`; ∂x, Δ and −I act
alike on every channel. `strength` is a factor in front (nondimensional): a mobility.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.grids import Grid, check_operator
from ddg_explorer.structure.base import Structure
from ddg_explorer.structure.checks import (
    check_grid,
    check_number,
    check_optional_grid,
    check_strength,
)
from ddg_explorer.structure.coefficients import Kept


class Difference(Structure):
    """A constant difference operator: a few shifts, or one product in Fourier space."""

    grid: Grid
    conserves_mass = True
    is_dissipative = True

    def __init__(
        self, grid: Grid, operator: str = "finite_difference", *, strength: float = 1.0
    ) -> None:
        self.grid = check_grid(grid)
        self.operator = check_operator(operator)
        self.by_fft = operator == "spectral"
        self.strength = strength
        self._symbol = Kept()

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        if self.by_fft:
            return self.grid.irfft(self.symbol(g.dtype, g.device) * self.grid.rfft(g))
        return self._stencil(g)

    def symbol(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> Tensor:
        return self._symbol(dtype, device, lambda: self.strength * self._unit(dtype, device))

    def _stencil(self, g: Tensor) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not define its stencil")

    def _unit(self, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        raise TypeError(f"{type(self).__name__} does not define its symbol")


class CentralDerivative(Difference):
    """∂/∂x along one axis: skew, mass-conserving.

    Parameters
    ----------
    grid, operator
        Central difference (second order), or spectral (zero at an even grid's Nyquist wavenumber).
    axis
        Grid axis, the last one by default.
    strength
        Factor in front, of either sign.
    """

    is_skew = True

    def __init__(
        self,
        grid: Grid,
        operator: str = "finite_difference",
        *,
        axis: int = -1,
        strength: float = 1.0,
    ) -> None:
        check_grid(grid)
        if not -grid.ndim <= axis < grid.ndim:
            raise ValueError(f"axis={axis}: the grid has {grid.ndim} axes")
        super().__init__(grid, operator, strength=check_number(strength, "strength"))
        self.axis = axis % grid.ndim - grid.ndim
        self._factor = self.strength / (2 * grid.spacing[self.axis])

    def _stencil(self, g: Tensor) -> Tensor:
        return torch.roll(g, -1, self.axis).sub_(torch.roll(g, 1, self.axis)).mul_(self._factor)

    def _unit(self, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        return self.grid.derivative_symbol(self.axis, self.operator, dtype, device)


class Laplacian(Difference):
    """Δ = Σ ∂²/∂xₐ²: dissipative, mass-conserving, isotropic.

    3 points in 1-D, 5 in 2-D (second order), or spectral. `strength` ≥ 0 is a constant mobility.
    """

    is_isotropic = True

    def __init__(
        self, grid: Grid, operator: str = "finite_difference", *, strength: float = 1.0
    ) -> None:
        super().__init__(grid, operator, strength=check_strength(strength))
        self._factors = [self.strength / h**2 for h in grid.spacing]
        self._centre = 2 * sum(self._factors)

    def _stencil(self, g: Tensor) -> Tensor:
        # `Grid.laplacian` is the readable twin; here every temporary but two is reused.
        first, *others = zip(self.grid.axes, self._factors, strict=True)
        axis, factor = first
        out = torch.roll(g, -1, axis).add_(torch.roll(g, 1, axis)).mul_(factor)
        for axis, factor in others:
            out.add_(torch.roll(g, -1, axis), alpha=factor)
            out.add_(torch.roll(g, 1, axis), alpha=factor)
        return out.sub_(g, alpha=self._centre)

    def _unit(self, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        return self.grid.laplacian_symbol(self.operator, dtype, device)


class MinusIdentity(Structure):
    """−I, times a mobility `strength` ≥ 0: gradient flow. Dissipative; isotropic on a grid.

    Without a `grid` it acts on any state (an ODE), and has no symbol.
    """

    is_dissipative = True

    def __init__(self, grid: Grid | None = None, *, strength: float = 1.0) -> None:
        self.grid = check_optional_grid(grid)
        self.strength = check_strength(strength)
        self.is_isotropic = grid is not None
        self._symbol = Kept()

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        return -self.strength * g

    def symbol(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> Tensor | None:
        if self.grid is None:
            return None
        half = self.grid.half_shape
        return self._symbol(
            dtype, device, lambda: torch.full(half, -self.strength, dtype=dtype, device=device)
        )

    def _on(self, grid: Grid | None) -> Structure:
        return self if self.grid is not None else MinusIdentity(grid, strength=self.strength)


class StrainWave(Structure):
    """[[0, ∇], [∇·, −r]] on the channels (e₁, …, e_d, v) of strain and velocity.

        e_t = ∇ δH/δv,   v_t = ∇· δH/δe − r δH/δv        (1-D: [[0, ∂x], [∂x, −r]])

    Skew for r = 0, because every ∂ is; dissipative for friction r ≥ 0. Mass is conserved for r = 0.
    """

    grid: Grid
    is_dissipative = True

    def __init__(
        self, grid: Grid, operator: str = "finite_difference", *, friction: float = 0.0
    ) -> None:
        self.grid = check_grid(grid)
        self.operator = check_operator(operator)
        self.friction = check_strength(friction, "friction")
        self.is_skew = self.conserves_mass = self.friction == 0
        self._slopes = [CentralDerivative(grid, operator, axis=axis) for axis in range(grid.ndim)]
        self._symbol = Kept()

    @property
    def state_shape(self) -> tuple[int, ...]:
        return (self.grid.ndim + 1, *self.grid.shape)

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        channel = -1 - self.grid.ndim
        if g.shape[channel] != self.grid.ndim + 1:
            raise ValueError(
                f"g has {g.shape[channel]} channels: strain and velocity are {self.grid.ndim + 1}"
            )
        if self.grid.ndim == 1:
            out = self._slopes[0].apply(g.flip(channel))
            if self.friction:
                out.select(channel, 1).sub_(g.select(channel, 1), alpha=self.friction)
            return out
        *strains, velocity = g.unbind(channel)
        rows = [slope.apply(velocity) for slope in self._slopes]
        total = -self.friction * velocity
        for slope, strain in zip(self._slopes, strains, strict=True):
            total = total + slope.apply(strain)
        return torch.stack([*rows, total], channel)

    def symbol(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> Tensor:
        return self._symbol(dtype, device, lambda: self._blocks(dtype, device))

    def _blocks(self, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        slopes = torch.stack([slope.symbol(dtype, device) for slope in self._slopes])
        size = self.grid.ndim + 1
        out = torch.zeros((size, size, *self.grid.half_shape), dtype=slopes.dtype, device=device)
        out[:-1, -1] = slopes
        out[-1, :-1] = slopes
        out[-1, -1] = -self.friction
        return out
