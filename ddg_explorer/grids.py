"""Periodic Cartesian grids: their finite differences, Fourier symbols and integrals.

A grid of shape (n₁, …, n_d) covers [0, L₁) × … × [0, L_d); the left end is a node, the right end is
not. Fields carry the grid in their last d dimensions, `(..., C, *grid)`; everything before is a
batch. All lengths are nondimensional.

The real transform used throughout is `torch.fft.rfftn` over the grid axes, so a symbol has shape
(n₁, …, n_{d−1}, n_d // 2 + 1), called the half shape. A symbol Ĝ(k) is the factor by which an
operator multiplies the wave exp(ik·x).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from operator import index
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.io import described

OPERATORS = ("finite_difference", "spectral")


@dataclass(frozen=True)
class Grid:
    """Periodic grid of `shape` points on a box of side lengths `length` (nondimensional).

    Both are one value per axis and are kept as tuples of int and float, so that grids of the same
    numbers are equal; integers and real numbers of NumPy are taken, fractions of a point are not.
    `spacing` is Δx per axis, `axes` the grid's dimensions in a field tensor: (−d, …, −1).
    Symbols and wavenumbers are computed in float64, rounded once to the dtype asked for,
    and kept: treat what the methods return as read-only.

    Raises
    ------
    ValueError
        If points are not integers ≥ 3 or lengths not finite and positive, or the two disagree in
        dimension.
    """

    shape: tuple[int, ...]
    length: tuple[float, ...]
    spacing: tuple[float, ...] = field(init=False, repr=False, compare=False)
    axes: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _kept: dict[tuple, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _counts(self.shape, self.shape))
        object.__setattr__(self, "length", _reals(self.length, self.length))
        if len(self.shape) != len(self.length) or not self.shape:
            raise ValueError(f"length={self.length}: needs one value per axis of n={self.shape}")
        if any(n < 3 for n in self.shape):
            raise ValueError(f"n={self.shape}: every axis needs at least 3 points")
        if any(not (math.isfinite(x) and x > 0) for x in self.length):
            raise ValueError(f"length={self.length}: every length must be finite and positive")
        spacing = tuple(x / n for x, n in zip(self.length, self.shape, strict=True))
        object.__setattr__(self, "spacing", spacing)
        object.__setattr__(self, "axes", tuple(range(-self.ndim, 0)))

    @classmethod
    def of(cls, n: Any, length: Any, ndim: int) -> Grid:
        """Grid of `ndim` axes from scalars (the same on every axis) or one value per axis."""
        shape = _counts(n, n) if _is_list(n) else _counts([n], n) * ndim
        lengths = _reals(length, length) if _is_list(length) else _reals([length], length) * ndim
        if len(shape) != ndim:
            raise ValueError(f"n={described(n)}: this system lives on {ndim} axes")
        return cls(shape, lengths)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Grid:
        """The grid of a dict such as `to_dict` gives."""
        return cls(values["shape"], values["length"])

    def to_dict(self) -> dict[str, list[Any]]:
        """Shape and length as plain values."""
        return {"shape": list(self.shape), "length": list(self.length)}

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def cell_volume(self) -> float:
        """Δx₁ ⋯ Δx_d, the weight of one node in every integral."""
        return math.prod(self.spacing)

    @property
    def size(self) -> int:
        """Number of nodes."""
        return math.prod(self.shape)

    @property
    def half_shape(self) -> tuple[int, ...]:
        """Shape of `rfft` of one field: (n₁, …, n_{d−1}, n_d // 2 + 1)."""
        return (*self.shape[:-1], self.shape[-1] // 2 + 1)

    def rfft(self, u: Tensor) -> Tensor:
        """Σₓ u(x) exp(−ik·x) on the half shape (no normalisation)."""
        return torch.fft.rfftn(u, dim=self.axes)

    def irfft(self, u_hat: Tensor) -> Tensor:
        """Inverse of `rfft`, to a real field."""
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
        return tuple(
            self._keep(("k", axis), dtype, device, lambda axis=axis: self._wavenumber(axis))
            for axis in range(self.ndim)
        )

    def derivative_symbol(
        self, axis: int, operator: str, dtype: torch.dtype, device: torch.device | str
    ) -> Tensor:
        """Symbol of ∂/∂x_axis: i sin(kΔx)/Δx (central difference) or ik (spectral), imaginary.

        Both vanish at an even grid's Nyquist wavenumber: no real first derivative exists there,
        and zero keeps the operator real and exactly skew. `dtype` is the real dtype of the field.
        """
        check_operator(operator)
        axis %= self.ndim

        def make() -> Tensor:
            k, n, h = self._wavenumber(axis), self.shape[axis], self.spacing[axis]
            slope = torch.sin(k * h) / h if operator == "finite_difference" else k
            return torch.where(self._mode(axis).abs() * 2 == n, 0.0, slope).expand(self.half_shape)

        return self._keep(("∂", axis, operator), dtype, device, make, imaginary=True)

    def laplacian_symbol(
        self, operator: str, dtype: torch.dtype, device: torch.device | str
    ) -> Tensor:
        """Symbol of Δ: −Σ (2 sin(kΔx/2)/Δx)² (3- or 5-point stencil) or −|k|² (spectral); real."""
        check_operator(operator)

        def make() -> Tensor:
            total = torch.zeros(self.half_shape, dtype=torch.float64)
            for axis, h in enumerate(self.spacing):
                k = self._wavenumber(axis)
                slope = 2 * torch.sin(k * h / 2) / h if operator == "finite_difference" else k
                total = total - slope**2
            return total

        return self._keep(("Δ", operator), dtype, device, make)

    def forward_difference(self, u: Tensor, axis: int = -1) -> Tensor:
        """(u(x + Δx) − u(x))/Δx along one grid axis (negative index)."""
        return (torch.roll(u, -1, axis) - u) / self.spacing[axis]

    def laplacian(self, u: Tensor) -> Tensor:
        """Second-order Laplacian: 3 points in 1-D, 5 points in 2-D."""
        terms = [
            (torch.roll(u, -1, axis) - 2 * u + torch.roll(u, 1, axis)) / h**2
            for axis, h in zip(self.axes, self.spacing, strict=True)
        ]
        return sum(terms[1:], terms[0])

    def integral(self, f: Tensor) -> Tensor:
        """∫ f dx over the grid axes: the sum of nodal values times the cell volume."""
        return f.sum(self.axes) * self.cell_volume

    def _mode(self, axis: int) -> Tensor:
        """Integer mode numbers m of k = 2πm/L in float64, broadcastable to the half shape."""
        axis %= self.ndim
        frequencies = torch.fft.rfftfreq if axis == self.ndim - 1 else torch.fft.fftfreq
        view = [1] * self.ndim
        view[axis] = -1
        n = self.shape[axis]
        return (frequencies(n, dtype=torch.float64) * n).round().reshape(view)

    def _wavenumber(self, axis: int) -> Tensor:
        return self._mode(axis) * (2 * math.pi / self.length[axis])

    def _keep(
        self,
        name: tuple,
        dtype: torch.dtype,
        device: torch.device | str,
        make: Callable[[], Tensor],
        imaginary: bool = False,
    ) -> Tensor:
        """Return what is kept under `name` for this dtype and device; make it the first time.

        Two threads may both make it: they write the same value. Inference mode is left because its
        tensors cannot take part in a later backward pass.
        """
        key = (*name, dtype, torch.device(device))
        if key not in self._kept:
            with torch.inference_mode(False), torch.no_grad():
                made = make().to(dtype).contiguous().to(device)
                self._kept[key] = torch.complex(torch.zeros_like(made), made) if imaginary else made
        return self._kept[key]


def _is_list(value: Any) -> bool:
    """Whether `value` is several numbers: a list, or an array or tensor with an axis."""
    return isinstance(value, list | tuple) or getattr(value, "ndim", 0) > 0


def _counts(n: Any, given: object) -> tuple[int, ...]:
    """Points per axis as Python's integers; ValueError tells what was given."""
    try:
        return tuple(index(count) for count in n)
    except TypeError:
        raise ValueError(f"n={described(given)}: must be an integer ≥ 3 per axis") from None


def _reals(length: Any, given: object) -> tuple[float, ...]:
    """Side lengths as Python's floats, infinite where they are too large for one."""
    try:
        return tuple(_real(side) for side in length)
    except TypeError:
        line = f"length={described(given)}: must be a positive number per axis"
        raise ValueError(line) from None


def _real(value: Any) -> float:
    """TypeError for what is no real number; texts and truth values are none."""
    value = value.item() if getattr(value, "ndim", None) == 0 else value
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError
    try:
        return float(value)
    except OverflowError:
        return math.inf


def check_operator(operator: str) -> str:
    """Return `operator` if it is one of `OPERATORS`, else raise ValueError."""
    if operator not in OPERATORS:
        raise ValueError(f"operator={operator!r}: use one of {', '.join(OPERATORS)}")
    return operator
