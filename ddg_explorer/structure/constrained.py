"""Learnable convolution kernels that obey a law for every value of their parameters.

    skew           k(j) = ½(a(j) − a(−j))                 Ĝ purely imaginary; sums to zero
    dissipative    k = −Σᵣ sᵣ ⋆ sᵣ  (autocorrelations)    Ĝ(θ) = −Σᵣ |ŝᵣ(θ)|² ≤ 0
    zero sum       Σⱼ sᵣ(j) = 0; of a free kernel the centre takes up the rest
    isotropic      mean over the stencil's rotations and reflections

The sᵣ have width (w + 1)/2, so that k has width w (3-wide: [s₀, s₁]), and Ĝ ≤ 0 at every θ, hence
on every grid. In 1-D every even kernel with Ĝ ≤ 0 is reached, with a single s (Fejér–Riesz); in
2-D those whose −Ĝ is a sum of squares of this degree, among them the 5- and 9-point Laplacians.
Averaging over symmetries keeps both the sign and the sum. Each class is a module whose
`forward()` gives the kernel; `guarantees` names the flags that hold by construction, to rounding.
"""

from __future__ import annotations

import math
from itertools import permutations, product

import torch
from torch import Tensor, nn

from ddg_explorer.structure.coefficients import Numbers, check_raw


class SkewKernel(nn.Module):
    """k(j) = ½(a(j) − a(−j)), exactly odd in floating point; a has the kernel's shape."""

    guarantees = frozenset({"is_skew", "is_dissipative", "conserves_mass"})

    def __init__(self, raw: Numbers) -> None:
        super().__init__()
        self.raw = nn.Parameter(check_raw(raw, "raw"))
        check_widths(tuple(self.raw.shape))

    def forward(self) -> Tensor:
        return odd_part(self.raw)


class FreeKernel(nn.Module):
    """Any kernel, optionally with weights that sum to zero or that are isotropic."""

    def __init__(self, raw: Numbers, *, zero_sum: bool = False, isotropic: bool = False) -> None:
        super().__init__()
        raw = check_raw(raw, "raw")
        self.raw = nn.Parameter(raw)
        self.zero_sum = zero_sum
        widths = check_widths(tuple(raw.shape))
        self.average = Average(raw, widths) if isotropic else nn.Identity()
        centre = torch.zeros(widths, dtype=raw.dtype, device=raw.device)
        centre[tuple(w // 2 for w in widths)] = 1
        self.register_buffer("centre", centre, persistent=False)
        self.guarantees = _names(conserves_mass=zero_sum, is_isotropic=isotropic)

    def forward(self) -> Tensor:
        kernel = self.average(self.raw)
        return kernel - self.centre * kernel.sum() if self.zero_sum else kernel


class DissipativeKernel(nn.Module):
    """k = −Σᵣ sᵣ ⋆ sᵣ, and optionally a skew part besides.

    Parameters
    ----------
    raw
        sᵣ, shape `(*half widths, rank)`; half width (w + 1)/2 for a kernel of width w. All kernels
        of the class are reached with rank = product of the half widths (1-D: with rank 1).
    skew
        Raw weights of a skew part, the kernel's shape: advection beside diffusion.
    zero_sum, isotropic
        Further laws; an isotropic kernel is even, so it excludes `skew`.

    Raises
    ------
    ValueError
        If shapes do not fit or `isotropic` meets `skew`.
    """

    pairs: Tensor

    def __init__(
        self,
        raw: Numbers,
        *,
        skew: Numbers | None = None,
        zero_sum: bool = False,
        isotropic: bool = False,
    ) -> None:
        super().__init__()
        raw = check_raw(raw, "raw")
        skew = None if skew is None else check_raw(skew, "skew")
        if raw.ndim < 2:
            raise ValueError(f"raw has shape {tuple(raw.shape)}: needs (*half widths, rank)")
        half = tuple(raw.shape[:-1])
        self.widths = tuple(2 * h - 1 for h in half)
        if skew is not None and tuple(skew.shape) != self.widths:
            raise ValueError(f"skew has shape {tuple(skew.shape)}: needs {self.widths}")
        if skew is not None and isotropic:
            raise ValueError("isotropic=True: excludes a skew part, which a reflection turns over")
        self.raw = nn.Parameter(raw)
        self.skew = None if skew is None else nn.Parameter(skew)
        self.zero_sum = zero_sum
        self.average = Average(raw, self.widths) if isotropic else nn.Identity()
        self.register_buffer("pairs", _pairs(half).to(raw), persistent=False)
        self.guarantees = _names(
            is_dissipative=True, conserves_mass=zero_sum, is_isotropic=isotropic
        )

    def forward(self) -> Tensor:
        s = self.raw.flatten(0, -2)
        if self.zero_sum:
            s = s - s.mean(0)
        kernel = -(self.pairs @ (s @ s.T).flatten()).reshape(self.widths)
        # Products of matrices are symmetric to rounding only; this is exact.
        kernel = self.average((kernel + _reversed(kernel)) / 2)
        return kernel if self.skew is None else kernel + odd_part(self.skew)


class Average(nn.Module):
    """Mean of a kernel over the rotations and reflections of its stencil, exactly symmetric.

    Its buffers take dtype and device from `raw`.
    """

    orbit: Tensor
    weights: Tensor

    def __init__(self, raw: Tensor, widths: tuple[int, ...]) -> None:
        super().__init__()
        if len(set(widths)) != 1:
            raise ValueError(f"kernel has shape {widths}: isotropic needs equal widths")
        index = torch.arange(math.prod(widths)).reshape(widths)
        axes = range(len(widths))
        images = [
            index.permute(order).flip([a for a, s in zip(axes, signs, strict=True) if s])
            for order in permutations(axes)
            for signs in product((False, True), repeat=len(widths))
        ]
        smallest = torch.stack(images).amin(0).flatten()
        _, orbit, counts = smallest.unique(return_inverse=True, return_counts=True)
        member = (orbit == torch.arange(len(counts))[:, None]).double()
        weights = (member / counts[:, None]).to(raw)
        self.register_buffer("orbit", orbit.reshape(widths).to(raw.device), persistent=False)
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, kernel: Tensor) -> Tensor:
        return (self.weights @ kernel.flatten())[self.orbit]


def odd_part(raw: Tensor) -> Tensor:
    """½(a(j) − a(−j))."""
    return (raw - _reversed(raw)) / 2


def check_widths(widths: tuple[int, ...]) -> tuple[int, ...]:
    """`widths` if there is at least one and all are odd, else ValueError."""
    if not widths or any(w % 2 == 0 for w in widths):
        raise ValueError(f"kernel has shape {widths}: every width must be odd")
    return widths


def _reversed(kernel: Tensor) -> Tensor:
    return kernel.flip(list(range(kernel.ndim)))


def _pairs(half: tuple[int, ...]) -> Tensor:
    """0/1 matrix that sums the products s(a) s(b) with b − a = j into the weight at offset j."""
    nodes = list(product(*map(range, half)))
    offsets = list(product(*(range(1 - h, h) for h in half)))
    rows = {offset: row for row, offset in enumerate(offsets)}
    out = torch.zeros(len(offsets), len(nodes) ** 2, dtype=torch.float64)
    for column, (a, b) in enumerate(product(nodes, nodes)):
        out[rows[tuple(y - x for x, y in zip(a, b, strict=True))], column] = 1
    return out


def _names(**flags: bool) -> frozenset[str]:
    return frozenset(name for name, holds in flags.items() if holds)
