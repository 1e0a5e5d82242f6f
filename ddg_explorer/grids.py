"""Periodic Cartesian grids, their finite differences and Fourier symbols.

A grid of shape (n₁, …, n_d) covers [0, L₁) × … × [0, L_d); the left end is a node, the right end is
not. Fields carry the grid in their last d dimensions, `(..., C, *grid)`; everything before is a
batch. All lengths are nondimensional.

The real transform used throughout is `torch.fft.rfftn` over the grid axes, so a symbol has shape
(n₁, …, n_{d−1}, n_d // 2 + 1), called the half shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

OPERATORS = ("finite_difference", "spectral")


@dataclass(frozen=True)
class Grid:
    """Periodic grid of `shape` points on a box of side lengths `length` (nondimensional).

    Raises
    ------
    ValueError
        If fewer than 3 points or a non-positive length is given on any axis, or the two disagree
        in dimension.
    """

    shape: tuple[int, ...]
    length: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.length) or not self.shape:
            raise ValueError(f"length={self.length}: needs one value per axis of n={self.shape}")
        if any(n < 3 for n in self.shape):
            raise ValueError(f"n={self.shape}: every axis needs at least 3 points")
        if any(not (math.isfinite(x) and x > 0) for x in self.length):
            raise ValueError(f"length={self.length}: every length must be finite and positive")

    @classmethod
    def of(cls, n: int | Sequence[int], length: float | Sequence[float], ndim: int) -> Grid:
        """Grid of `ndim` axes from scalars (the same on every axis) or one value per axis."""
        shape = (n,) * ndim if isinstance(n, int) else tuple(int(k) for k in n)
        lengths = (
            (float(length),) * ndim
            if isinstance(length, int | float)
            else tuple(float(x) for x in length)
        )
        if len(shape) != ndim:
            raise ValueError(f"n={n}: this system lives on {ndim} axes")
        return cls(shape, lengths)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def axes(self) -> tuple[int, ...]:
        """The grid's dimensions in a field tensor: (−d, …, −1)."""
        return tuple(range(-self.ndim, 0))

    @property
    def spacing(self) -> tuple[float, ...]:
        return tuple(x / n for x, n in zip(self.length, self.shape, strict=True))

    @property
    def cell_volume(self) -> float:
        """Δx₁ ⋯ Δx_d, the weight of one node in every integral."""
        return math.prod(self.spacing)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def half_shape(self) -> tuple[int, ...]:
        return (*self.shape[:-1], self.shape[-1] // 2 + 1)

    def rfft(self, u: Tensor) -> Tensor:
        return torch.fft.rfftn(u, dim=self.axes)

    def irfft(self, u_hat: Tensor) -> Tensor:
        return torch.fft.irfftn(u_hat, s=self.shape, dim=self.axes)

    def coordinates(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """Node coordinates, one tensor of the grid's shape per axis ("ij" indexing)."""
        axes = [
            torch.arange(n, dtype=dtype, device=device) * h
            for n, h in zip(self.shape, self.spacing, strict=True)
        ]
        return torch.meshgrid(*axes, indexing="ij")

    def wavenumbers(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """Angular wavenumbers k = 2πm/L, one tensor per axis, broadcastable to `half_shape`."""
        out = []
        for axis, (n, h) in enumerate(zip(self.shape, self.spacing, strict=True)):
            last = axis == self.ndim - 1
            k = (
                torch.fft.rfftfreq(n, h, dtype=dtype)
                if last
                else torch.fft.fftfreq(n, h, dtype=dtype)
            )
            view = [1] * self.ndim
            view[axis] = -1
            out.append((2 * math.pi * k).to(device).reshape(view))
        return tuple(out)

    def derivative_symbol(
        self, axis: int, operator: str, dtype: torch.dtype, device: torch.device | str
    ) -> Tensor:
        """Symbol of ∂/∂x_axis: i sin(kΔx)/Δx (central difference) or ik (spectral), purely imaginary.

        The spectral symbol is zero at an even grid's Nyquist wavenumber, where no real first
        derivative exists; that keeps the operator real and exactly skew.
        """
        k, n, h = self.wavenumbers(dtype, device)[axis], self.shape[axis], self.spacing[axis]
        if check_operator(operator) == "finite_difference":
            slope = torch.sin(k * h) / h
        else:
            nyquist = math.pi / h
            slope = torch.where(k.abs() > nyquist * (1 - 0.5 / n), 0.0, k) if n % 2 == 0 else k
        return 1j * slope.broadcast_to(self.half_shape)

    def laplacian_symbol(
        self, operator: str, dtype: torch.dtype, device: torch.device | str
    ) -> Tensor:
        """Symbol of Δ: −Σ (2 − 2cos kΔx)/Δx² (3- or 5-point stencil) or −|k|² (spectral); real, ≤ 0."""
        check_operator(operator)
        total = torch.zeros(self.half_shape, dtype=dtype, device=device)
        for k, h in zip(self.wavenumbers(dtype, device), self.spacing, strict=True):
            total = total - (
                (2 * torch.sin(k * h / 2) / h) ** 2 if operator == "finite_difference" else k**2
            )
        return total

    def forward_difference(self, u: Tensor, axis: int = -1) -> Tensor:
        """(u(x + Δx) − u(x))/Δx along one grid axis (negative index)."""
        return (torch.roll(u, -1, axis) - u) / self.spacing[axis]

    def central_difference(self, u: Tensor, axis: int = -1) -> Tensor:
        """(u(x + Δx) − u(x − Δx))/(2Δx) along one grid axis (negative index)."""
        return (torch.roll(u, -1, axis) - torch.roll(u, 1, axis)) / (2 * self.spacing[axis])

    def laplacian(self, u: Tensor) -> Tensor:
        """Second-order Laplacian: 3 points in 1-D, 5 points in 2-D."""
        out = torch.zeros_like(u)
        for axis, h in zip(self.axes, self.spacing, strict=True):
            out = out + (torch.roll(u, -1, axis) - 2 * u + torch.roll(u, 1, axis)) / h**2
        return out

    def integral(self, f: Tensor) -> Tensor:
        """∫ f dx over the grid axes: the sum of nodal values times the cell volume."""
        return f.sum(self.axes) * self.cell_volume


def check_operator(operator: str) -> str:
    """Return `operator` if it is one of `OPERATORS`, else raise ValueError."""
    if operator not in OPERATORS:
        raise ValueError(f"operator={operator!r}: use one of {', '.join(OPERATORS)}")
    return operator
