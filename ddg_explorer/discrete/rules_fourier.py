"""Rules of discrete Fourier transforms, complex and real, of any number of axes.

With c a cotangent in torch's convention ΔH = Re Σ conj(c)·Δz, the adjoint of a transform is the
inverse one with the other normalisation,

    fftnᵀ = ifftn,   rfftnᵀ(c) = irfftn(w·c),   irfftnᵀ(c) = rfftn(c)/w      (unnormalised)

with Hermitian weights along the half axis: w = 1 at wavenumber 0 and, for even n, at n/2, else ½.
Shapes are those of the torch operation; trimming and zero padding by `n` or `s` is transposed too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ddg_explorer.discrete.record import Pair, fit, linear, rule

_ADJOINT_NORM = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _axes(x: Pair, s: Any, dim: Any) -> tuple[int, ...]:
    """The transformed axes as negative indices, in order."""
    if dim is None:
        return tuple(range(-x.ndim if s is None else -len(s), 0))
    return tuple(d - x.ndim if d >= 0 else d for d in dim)


def _sizes(x: Pair, s: Any, axes: tuple[int, ...]) -> list[int]:
    given = [-1] * len(axes) if s is None else s
    return [x.shape[d] if n == -1 else n for n, d in zip(given, axes, strict=True)]


def _resize(c: Tensor, x: Pair, axes: tuple[int, ...]) -> Tensor:
    """Transpose of trimming or zero padding: `c` padded with zeros or trimmed to x's shape."""
    pad = [0] * (2 * c.ndim)
    for d in axes:
        pad[-2 * d - 1] = x.shape[d] - c.shape[d]
    return F.pad(c, pad) if any(pad) else c


def _weights(c: Tensor, n: int, axis: int) -> Tensor:
    real = torch.float64 if c.dtype in (torch.float64, torch.complex128) else torch.float32
    k = torch.arange(n // 2 + 1, device=c.device)
    single = (k == 0) | (2 * k == n)
    return torch.where(single, 1.0, 0.5).to(real).reshape(-1, *(1,) * (-axis - 1))


def _complex_rule(transform: Callable[..., Tensor], adjoint: Callable[..., Tensor]) -> Any:
    def run(x: Pair, s: Any, dim: Any, norm: str | None) -> Pair:
        axes = _axes(x, s, dim)
        sizes, back = _sizes(x, s, axes), _ADJOINT_NORM[norm]
        return linear(
            x,
            lambda y: transform(y, sizes, axes, norm),
            lambda c: fit(_resize(adjoint(c, sizes, axes, back), x, axes), x),
        )

    return run


def _rfftn(x: Pair, s: Any, dim: Any, norm: str | None) -> Pair:
    axes = _axes(x, s, dim)
    sizes, back = _sizes(x, s, axes), _ADJOINT_NORM[norm]

    def transpose(c: Tensor) -> Tensor:
        half = c * _weights(c, sizes[-1], axes[-1])
        return _resize(torch.fft.irfftn(half, sizes, axes, back), x, axes)

    return linear(x, lambda y: torch.fft.rfftn(y, sizes, axes, norm), transpose)


def _irfftn(x: Pair, s: Any, dim: Any, norm: str | None) -> Pair:
    axes = _axes(x, s, dim)
    sizes, back = _sizes(x, s, axes), _ADJOINT_NORM[norm]
    if s is None or s[-1] == -1:
        sizes[-1] = 2 * (x.shape[axes[-1]] - 1)

    def transpose(c: Tensor) -> Tensor:
        half = torch.fft.rfftn(c, sizes, axes, back)
        return fit(_resize(half / _weights(c, sizes[-1], axes[-1]), x, axes), x)

    return linear(x, lambda y: torch.fft.irfftn(y, sizes, axes, norm), transpose)


def _register(name: str, run: Callable[..., Pair]) -> None:
    """Rules of the 1-D, 2-D and n-D transform `name`, which differ in their arguments only."""

    @rule(f"fft_{name}")
    def _(x: Pair, n: int | None = None, dim: int = -1, norm: str | None = None) -> Pair:
        return run(x, None if n is None else (n,), (dim,), norm)

    @rule(f"fft_{name}2")
    def _(x: Pair, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Pair:
        return run(x, s, dim, norm)

    @rule(f"fft_{name}n")
    def _(x: Pair, s: Any = None, dim: Any = None, norm: str | None = None) -> Pair:
        return run(x, s, dim, norm)


_register("fft", _complex_rule(torch.fft.fftn, torch.fft.ifftn))
_register("ifft", _complex_rule(torch.fft.ifftn, torch.fft.fftn))
_register("rfft", _rfftn)
_register("irfft", _irfftn)


@rule(torch.fft.fftshift)
def _fftshift(x: Pair, dim: Any = None) -> Pair:
    return linear(x, lambda y: torch.fft.fftshift(y, dim), lambda c: torch.fft.ifftshift(c, dim))


@rule(torch.fft.ifftshift)
def _ifftshift(x: Pair, dim: Any = None) -> Pair:
    return linear(x, lambda y: torch.fft.ifftshift(y, dim), lambda c: torch.fft.fftshift(c, dim))
