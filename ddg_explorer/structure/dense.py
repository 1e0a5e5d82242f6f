"""Dense structure matrices, fixed or learned: free, skew or dissipative by construction.

    skew           G = A − Aᵀ
    dissipative    G = −L Lᵀ,   or  G = A − Aᵀ − L Lᵀ

A and L are unconstrained, and every skew (every negative semi-definite) matrix is reached. With
`units`, a symmetric matrix σσᵀ, each is multiplied by it entry by entry, diag(σ) G diag(σ). On an
ODE `(..., d)` the matrix acts on the components; on a field `(..., C, *grid)` on the channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ddg_explorer.grids import Grid
from ddg_explorer.structure.base import Structure
from ddg_explorer.structure.checks import check_optional_grid
from ddg_explorer.structure.coefficients import (
    Coefficients,
    InUnits,
    Numbers,
    Source,
    check_raw,
)


class SkewMatrix(InUnits):
    """A − Aᵀ of a learnable square A, exactly skew in floating point."""

    guarantees = frozenset({"is_skew", "is_dissipative"})

    def __init__(self, raw: Numbers, units: Tensor | None = None) -> None:
        super().__init__(units)
        self.raw = nn.Parameter(check_square(check_raw(raw, "raw")))

    def forward(self) -> Tensor:
        return self.scaled(self.raw - self.raw.T)


class DissipativeMatrix(InUnits):
    """−L Lᵀ, plus A − Aᵀ where `skew` is given, of learnable L `(d, rank)` and A `(d, d)`."""

    guarantees = frozenset({"is_dissipative"})

    def __init__(
        self, raw: Numbers, skew: Numbers | None = None, units: Tensor | None = None
    ) -> None:
        super().__init__(units)
        raw = check_raw(raw, "raw")
        skew = None if skew is None else check_raw(skew, "skew")
        if raw.ndim != 2:
            raise ValueError(f"raw has shape {tuple(raw.shape)}: needs (d, rank)")
        if skew is not None and check_square(skew).shape[0] != raw.shape[0]:
            raise ValueError(f"skew has shape {tuple(skew.shape)}: needs {raw.shape[0]} rows")
        self.raw = nn.Parameter(raw)
        self.skew = None if skew is None else nn.Parameter(skew)

    def forward(self) -> Tensor:
        falling = -self.raw @ self.raw.T
        return self.scaled(falling if self.skew is None else falling + (self.skew - self.skew.T))


class MatrixStructure(Structure):
    """(G g)ᵢ = Σⱼ Gᵢⱼ gⱼ with a dense matrix.

    Flags that the matrix's construction guarantees hold always; all others are computed from its
    values, at each use where it can be learned.

    Parameters
    ----------
    matrix
        A fixed `(d, d)` tensor, array or list, an `nn.Parameter` (free and learnable), or a module
        such as `SkewMatrix` whose `forward()` returns one.
    grid
        Of a field, on whose channels the matrix acts; None for an ODE.
    """

    def __init__(self, matrix: Source, grid: Grid | None = None) -> None:
        self._matrix = Coefficients(matrix, "matrix")
        if len(self._matrix.shape) != 2 or len(set(self._matrix.shape)) != 1:
            raise ValueError(f"matrix has shape {self._matrix.shape}: needs (d, d)")
        self.module = self._matrix.module
        self.grid = check_optional_grid(grid)
        self.size = self._matrix.shape[0]

    @classmethod
    def skew(cls, raw: Numbers, grid: Grid | None = None) -> MatrixStructure:
        """G = A − Aᵀ, learnable through its `module`."""
        return cls(SkewMatrix(raw), grid)

    @classmethod
    def dissipative(
        cls, raw: Numbers, skew: Numbers | None = None, grid: Grid | None = None
    ) -> MatrixStructure:
        """G = −L Lᵀ (+ A − Aᵀ), learnable through its `module`."""
        return cls(DissipativeMatrix(raw, skew), grid)

    @property
    def entries(self) -> Tensor:
        """Today's `(d, d)` in float64 on the CPU; a copy."""
        return self._matrix.copy()

    @property
    def state_shape(self) -> tuple[int, ...]:
        return (self.size,) if self.grid is None else (self.size, *self.grid.shape)

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
        return self.grid is not None

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        matrix = self._matrix(g.dtype, g.device)
        if self.grid is None:
            return g @ matrix.T
        channel = -1 - self.grid.ndim
        return (g.movedim(channel, -1) @ matrix.T).movedim(-1, channel)

    def symbol(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> Tensor | None:
        if self.grid is None:
            return None
        matrix = self._matrix(dtype, device)[(..., *[None] * self.grid.ndim)]
        return matrix.expand(self.size, self.size, *self.grid.half_shape)

    def _flag(self, law: str) -> bool:
        return law in self._matrix.guarantees or self._measured(law)


def check_square(raw: Tensor) -> Tensor:
    """`raw` if it is a square matrix, else ValueError."""
    if raw.ndim != 2 or raw.shape[0] != raw.shape[1]:
        raise ValueError(f"raw has shape {tuple(raw.shape)}: needs (d, d)")
    return raw
