"""Sites of a window of a field, and the offsets between them.

A window `(n, C, *W)` holds values; a stencil of radius ρ fits at W − 2ρ sites per axis, and fewer
sites have neighbours at every offset. An ODE is one site without axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

Offset = tuple[int, ...]


def stencils(u: Tensor, radius: int) -> Tensor:
    """All stencils of a window, `(n, sites, C·(2ρ + 1)ᵈ)`; an ODE's `(n, d)` give `(n, 1, d)`."""
    axes = u.ndim - 2
    if axes == 0:
        return u[:, None]
    for axis in range(2, u.ndim):
        u = u.unfold(axis, 2 * radius + 1, 1)
    return u.movedim(1, 1 + axes).flatten(1 + axes).flatten(1, axes)


def picks(outer: Sequence[int], inner: Sequence[int], offsets: Sequence[Offset]) -> Tensor:
    """Where the neighbours of `inner` sites stand among `outer` ones, `(sites, offsets)`.

    Both are grids of sites about the same centre.
    """
    grid = torch.arange(math.prod(outer)).reshape(tuple(outer))
    columns = []
    for offset in offsets:
        part = grid
        for axis, (n, m, shift) in enumerate(zip(outer, inner, offset, strict=True)):
            part = part.narrow(axis, (n - m) // 2 + shift, m)
        columns.append(part.flatten())
    return torch.stack(columns, -1)


def crop(u: Tensor, margin: int) -> Tensor:
    """The window without `margin` values at either end of every axis."""
    for axis in range(2, u.ndim):
        u = u.narrow(axis, margin, u.shape[axis] - 2 * margin)
    return u


def by_site(u: Tensor) -> Tensor:
    """Values of a window with its sites first, `(n, sites, C)`."""
    return u[:, None] if u.ndim == 2 else u.flatten(2).mT


def added(one: Offset, other: Offset) -> Offset:
    """The sum of two offsets."""
    return tuple(a + b for a, b in zip(one, other, strict=True))
