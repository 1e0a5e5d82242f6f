"""What a kernel or a matrix becomes when it is made to obey a law.

    skew           k(j) → ½(k(j) − k(−j)),            A → ½(A − Aᵀ)            nearest
    dissipative    k → k + c D, the least c ≥ 0,      A → its symmetric part with
                   D = Δ where Σk = 0, else −1        eigenvalues cut off at 0   nearest
    zero sum       the centre takes up the rest
    isotropic      mean over the rotations and reflections of the stencil         nearest

Kernels have one odd width per axis, weight j multiplies the neighbour at +j, and spacings are left
out: what holds in index space holds with any factor > 0 in front. Everything is float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from ddg_explorer.structure.constrained import Average, check_widths, odd_part
from ddg_explorer.structure.dense import check_square

FINE = 256
"""Points per axis of the torus on which Re Ĝ ≤ 0 is required beside the grid's own wavenumbers."""
ROUNDING = 1e-12


def skew_kernel(kernel: Tensor) -> Tensor:
    """The odd part: Ĝ imaginary, energy conserved."""
    check_widths(tuple(kernel.shape))
    return odd_part(kernel)


def zero_sum_kernel(kernel: Tensor) -> Tensor:
    """The centre changed so that the weights sum to zero: mass conserved."""
    out = kernel.clone()
    out[_centre(kernel)] -= kernel.sum()
    return out


def isotropic_kernel(kernel: Tensor) -> Tensor:
    """Mean over all rotations and reflections of the stencil."""
    return Average(kernel, check_widths(tuple(kernel.shape)))(kernel)


def dissipative_kernel(kernel: Tensor, points: Sequence[int]) -> Tensor:
    """The kernel with just enough diffusion, or damping where its weights do not sum to zero.

    Isotropy and zero sums stay. A kernel that is dissipative already is returned as it is.

    Parameters
    ----------
    kernel
        Weights.
    points
        Points of the grid per axis; Re Ĝ ≤ 0 holds at its wavenumbers and at those of a fine one.
    """
    check_widths(tuple(kernel.shape))
    damping = torch.zeros_like(kernel)
    if conserves := bool(kernel.sum().abs() <= ROUNDING * kernel.abs().max()):
        for axis in range(kernel.ndim):
            for step in (-1, 1):
                damping[_centre(kernel, axis, step)] = 1
    damping[_centre(kernel)] = -2.0 * kernel.ndim if conserves else -1.0
    least = 0.0
    for size in (tuple(points), (FINE,) * kernel.ndim):
        growth, falling = real_symbol(kernel, size).flatten(), real_symbol(damping, size).flatten()
        first = 1 if conserves else 0  # there both are zero
        ratio = growth[first:] / -falling[first:]
        small = growth[first:] <= ROUNDING * kernel.abs().max() * -falling[first:]
        least = max(least, float(torch.where(small, 0.0, ratio).max()))
    return kernel + least * damping


def real_symbol(kernel: Tensor, points: Sequence[int]) -> Tensor:
    """Re Ĝ(θ) = Σⱼ kⱼ cos(j·θ) at θ = 2πm/n, shape `points`."""
    angles = [2 * math.pi / n * torch.arange(n, dtype=torch.float64) for n in points]
    mesh = torch.meshgrid(*angles, indexing="ij")
    out = torch.zeros(tuple(points), dtype=torch.float64)
    for offset in product(*(range(-(w // 2), w // 2 + 1) for w in kernel.shape)):
        weight = kernel[tuple(j + w // 2 for j, w in zip(offset, kernel.shape, strict=True))]
        phase = sum(j * theta for j, theta in zip(offset, mesh, strict=True))
        out += weight * torch.cos(torch.as_tensor(phase))
    return out


def skew_matrix(matrix: Tensor) -> Tensor:
    """½(A − Aᵀ), the nearest skew matrix."""
    return (check_square(matrix) - matrix.T) / 2


def dissipative_matrix(matrix: Tensor) -> Tensor:
    """The nearest matrix (Frobenius) whose symmetric part is ≤ 0."""
    symmetric = (check_square(matrix) + matrix.T) / 2
    values, vectors = torch.linalg.eigh(symmetric)
    if float(values[-1]) <= 0:
        return matrix
    falling = vectors @ torch.diag(values.clamp(max=0)) @ vectors.T
    return (matrix - matrix.T) / 2 + (falling + falling.T) / 2


def _centre(kernel: Tensor, axis: int = 0, step: int = 0) -> tuple[int, ...]:
    """Index of the centre weight, or of its neighbour along an axis."""
    return tuple(w // 2 + (step if a == axis else 0) for a, w in enumerate(kernel.shape))
