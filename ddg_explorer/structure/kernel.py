"""Convolution kernels as structure operators, fixed, free or constrained.

    (G g)(x) = Σⱼ kⱼ g(x + jΔx),   Ĝ(θ) = Σⱼ kⱼ exp(i j·θ),   θ = kΔx

This is a cross-correlation, as in neural networks: the weight right of the centre multiplies the
right neighbour. Every axis has an odd width, the centre weight has j = 0, and the operator acts
alike on every channel of `(..., C, *grid)`. [−1, 0, 1]/(2Δx) is ∂x, [1, −2, 1]/Δx² is Δ. Source of
the learned kernel G: T. Matsubara, A. Ishikawa, T. Yaguchi, NeurIPS 2020, arXiv:1905.08604.
"""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.structure.base import Structure
from ddg_explorer.structure.checks import check_grid
from ddg_explorer.structure.coefficients import Coefficients, Kept, Numbers, Source
from ddg_explorer.structure.constrained import DissipativeKernel, SkewKernel, check_widths

SHIFTED_WEIGHTS = 9
"""Kernels of up to this many weights are applied by shifts, wider ones in Fourier space.

Shifts were as fast as or faster than a circular convolution for 3×3 on a CPU (equal on 64² points,
5 times faster on 16 fields of 256²); a transform pair costs about as much as 9 weights on 64².
"""


class KernelStructure(Structure):
    """A convolution with a small kernel.

    Flags that the kernel's construction guarantees hold on every grid; all others are computed from
    its values on this grid, at each use where it can be learned.

    Parameters
    ----------
    grid
        Periodic grid.
    kernel
        Weights with one odd width per grid axis: a fixed tensor, array or list, an
        `nn.Parameter` (free and learnable), or one of the modules of `constrained`. Units of G:
        spacings are included.

    Raises
    ------
    ValueError
        If a width is even, exceeds the grid, or the number of axes differs.
    """

    grid: Grid

    def __init__(self, grid: Grid, kernel: Source) -> None:
        self.grid = check_grid(grid)
        self._kernel = Coefficients(kernel, "kernel")
        widths = check_widths(self._kernel.shape)
        if len(widths) != grid.ndim or any(w > n for w, n in zip(widths, grid.shape, strict=True)):
            raise ValueError(
                f"kernel has shape {widths}: needs one width ≤ n={grid.shape} per axis"
            )
        self.module = self._kernel.module
        self._symbol = Kept()
        self._offsets = list(product(*(range(-(w // 2), w // 2 + 1) for w in widths)))
        strides = [math.prod(grid.shape[axis + 1 :]) for axis in range(grid.ndim)]
        self._nodes = [
            sum(-j % n * s for j, n, s in zip(offset, grid.shape, strides, strict=True))
            for offset in self._offsets
        ]
        self._rows = self._used_rows()
        self._shifts = {j for _, row in self._rows for j, _ in row}

    @classmethod
    def skew(cls, grid: Grid, raw: Numbers) -> KernelStructure:
        """k(j) = −k(−j): skew, mass-conserving; learnable through its `module`."""
        return cls(grid, SkewKernel(raw))

    @classmethod
    def dissipative(
        cls,
        grid: Grid,
        raw: Numbers,
        *,
        skew: Numbers | None = None,
        zero_sum: bool = False,
        isotropic: bool = False,
    ) -> KernelStructure:
        """Re Ĝ ≤ 0, see `DissipativeKernel`; learnable through its `module`."""
        kernel = DissipativeKernel(raw, skew=skew, zero_sum=zero_sum, isotropic=isotropic)
        return cls(grid, kernel)

    @property
    def kernel(self) -> Tensor:
        """Today's weights in float64 on the CPU; a copy."""
        return self._kernel.copy()

    @property
    def is_skew(self) -> bool:
        return self._flag("is_skew")

    @property
    def is_dissipative(self) -> bool:
        return self._flag("is_dissipative")

    @property
    def conserves_mass(self) -> bool:
        return self._flag("conserves_mass")

    @property
    def is_isotropic(self) -> bool:
        return self._flag("is_isotropic")

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        if len(self._offsets) > SHIFTED_WEIGHTS:
            return self.grid.irfft(self.symbol(g.dtype, g.device) * self.grid.rfft(g))
        weights = self._kernel(g.dtype, g.device).flatten().unbind()
        # Shifts along the last axis are shared by all rows of the stencil. Sums are in place: on
        # large fields fresh memory costs more than the arithmetic.
        shifted = {j: torch.roll(g, -j, -1) if j else g for j in self._shifts}
        out = None
        for lead, row in self._rows:
            terms = [(shifted[j], weights[index]) for j, index in row]
            total = terms[0][0] * terms[0][1]
            for field, weight in terms[1:]:
                total.add_(field * weight)
            if any(lead):
                total = torch.roll(total, [-i for i in lead], self.grid.axes[:-1])
            out = total if out is None else out.add_(total)
        return torch.zeros_like(g) if out is None else out

    def symbol(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> Tensor:
        if self.module is not None:
            return self._transform(dtype, device)
        return self._symbol(dtype, device, lambda: self._transform(dtype, device))

    def _used_rows(self) -> list[tuple[tuple[int, ...], list[tuple[int, int]]]]:
        """(leading offsets, [(last offset, flat index)]) of the weights that can be non-zero."""
        rows: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        known = None if self.module is not None else self.kernel.flatten()
        for index, offset in enumerate(self._offsets):
            if known is None or known[index] != 0:
                rows.setdefault(offset[:-1], []).append((offset[-1], index))
        return list(rows.items())

    def _transform(self, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        return self.grid.rfft(self._on_grid(dtype, device))

    def _on_grid(self, dtype: torch.dtype, device: torch.device | str) -> Tensor:
        """κ(x) with (G g)(x) = Σ_y κ(x − y) g(y): the weight of offset j at node −j."""
        index = torch.tensor(self._nodes, device=device)
        empty = torch.zeros(self.grid.size, dtype=dtype, device=device)
        weights = self._kernel(dtype, device).flatten()
        return empty.index_add(0, index, weights).reshape(self.grid.shape)

    def _weights(self, symbol: Tensor) -> Tensor:
        return self._on_grid(torch.float64, "cpu")

    def _flag(self, law: str) -> bool:
        return law in self._kernel.guarantees or self._measured(law)
