"""Weak form of the one-step residual of a field, for noisy data.

    r_ψ(x) = Σ_y ψ(y − x) r(y) = Σ_y ψ(y − x) (v − u)(y)/Δt − Σ_y (Gᵀψ)(y − x) ∇̄H(v, u)(y)

ψ is a Gaussian on 7 points per axis, Σψ = 1. The differences of G act on ψ instead of the data, and
the mean over some points takes out noise that is white in space while a resolved field hardly
changes: r_ψ of the true energy vanishes wherever r does, for fixed and for learned G.

Nondimensional; ψ has its width on every axis of the grid. Source of learning from weak forms:
D. A. Messenger and D. M. Bortz, J. Comput. Phys. 443 (2021) 110525, doi 10.1016/j.jcp.2021.110525.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.structure import KernelStructure

RADIUS = 3
SPREAD = 1.5
"""Standard deviation of ψ in grid points."""


def gaussian(dimensions: int) -> Tensor:
    """ψ, `(7,) * dimensions`, the same under all rotations and reflections."""
    points = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    one = torch.exp(-0.5 * (points / SPREAD).square())
    psi = one
    for _ in range(dimensions - 1):
        psi = psi[..., None] * one
    return psi / psi.sum()


def averaged(r: Tensor, grid: Grid) -> Tensor:
    """Σ_y ψ(y − x) r(y) on the whole periodic grid, shape of `r`.

    Raises
    ------
    ValueError
        If ψ is wider than the grid.
    """
    return KernelStructure(grid, gaussian(grid.ndim)).apply(r)


def averaged_inside(r: Tensor) -> Tensor:
    """The same for windows `(n, C, *widths)`, where ψ fits: every width shrinks by 6."""
    psi = gaussian(r.ndim - 2).to(r)
    flat = r.flatten(0, 1)[:, None]
    convolve = (torch.nn.functional.conv1d, torch.nn.functional.conv2d)[psi.ndim - 1]
    return convolve(flat, psi[None, None])[:, 0].unflatten(0, r.shape[:2])
