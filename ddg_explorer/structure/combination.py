"""Weighted sums of structure operators, G = Σ cᵢ Gᵢ: dissipation added to any system.

∂x + νΔ (diffusion of δH/δu, not of u), S − rI (uniform friction), and, with the wrong sign of a
weight, operators that break the law and say so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ddg_explorer.grids import Grid
from ddg_explorer.io import described
from ddg_explorer.structure.base import Structure
from ddg_explorer.structure.checks import check_number
from ddg_explorer.structure.coefficients import Kept


class Combination(Structure):
    """G = Σ cᵢ Gᵢ of `(cᵢ, Gᵢ)` terms; also written `A + 0.1 * B`.

    A flag follows from the terms where it can: all skew is skew; skew terms and dissipative ones
    with cᵢ > 0 are dissipative; all mass-conserving or all isotropic is so. Otherwise it is
    computed (2Δ − Δ is dissipative). Terms with cᵢ = 0 drop out. Spectral terms share one
    transform pair.

    Raises
    ------
    ValueError
        If there is no term, a term is no operator, its weight no finite number or learned, or two
        terms live on different grids.
    """

    def __init__(self, *terms: tuple[float, Structure]) -> None:
        if not terms:
            raise ValueError("terms=(): a combination needs at least one operator")
        weights = [check_number(weight, "weight") for weight, _ in terms]
        for _, part in terms:
            if not isinstance(part, Structure):
                raise ValueError(f"operator={described(part)}: a sum is one of structure operators")
        grids = [part.grid for _, part in terms if part.grid is not None]
        if any(grid != grids[0] for grid in grids):
            raise ValueError(f"grids={grids}: all operators of a sum must share one grid")
        self.grid: Grid | None = grids[0] if grids else None
        self.parts = tuple(part._on(self.grid) for _, part in terms)
        weighted = zip(weights, self.parts, strict=True)
        self.terms = tuple(term for w, part in weighted if w for term in _flatten(w, part))
        modules = [part.module for _, part in self.terms if part.module is not None]
        self.module = nn.ModuleList(modules) if modules else None
        fft = [(w, p) for w, p in self.terms if getattr(p, "by_fft", False)]
        self._fft = fft if len(fft) > 1 else []
        self._direct = [term for term in self.terms if term not in self._fft]
        self._fft_symbol, self._symbol = Kept(), Kept()

    @property
    def state_shape(self) -> tuple[int, ...] | None:
        """The shape of the part with the most channels."""
        shapes = [part.state_shape for part in self.parts if part.state_shape is not None]
        return max(shapes, key=math.prod, default=None)

    @property
    def state_dependent(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return any(part.state_dependent for _, part in self.terms)

    @property
    def is_skew(self) -> bool:
        return all(part.is_skew for _, part in self.terms) or self._measured("is_skew")

    @property
    def is_dissipative(self) -> bool:
        falls = (p.is_skew or (w > 0 and p.is_dissipative) for w, p in self.terms)
        return all(falls) or self._measured("is_dissipative")

    @property
    def conserves_mass(self) -> bool:
        kept = all(part.conserves_mass for _, part in self.terms)
        return kept or self._measured("conserves_mass")

    @property
    def is_isotropic(self) -> bool:
        if self.grid is None:
            return False
        return all(p.is_isotropic for _, p in self.terms) or self._measured("is_isotropic")

    def _on(self, grid: Grid | None) -> Structure:
        if self.grid is not None or grid is None:
            return self
        terms = self.terms or ((0.0, self.parts[0]),)
        return Combination(*((weight, part._on(grid)) for weight, part in terms))

    def apply(self, g: Tensor, u: Tensor | None = None) -> Tensor:
        out = None
        for weight, part in self._direct:
            term = part.apply(g, u)
            if weight != 1:
                term = weight * term
            out = term if out is None else out + term
        if self._fft:
            assert self.grid is not None
            symbol = self._fft_symbol(
                g.dtype, g.device, lambda: self._total(self._fft, g.dtype, g.device)
            )
            term = self.grid.irfft(symbol * self.grid.rfft(g))
            out = term if out is None else out + term
        return torch.zeros_like(g) if out is None else out

    def symbol(
        self, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
    ) -> Tensor | None:
        if self.grid is None:
            return None
        if self.module is not None:
            return self._total(self.terms, dtype, device)
        if any(part.symbol(dtype, device) is None for _, part in self.terms):
            return None
        return self._symbol(dtype, device, lambda: self._total(self.terms, dtype, device))

    def _total(
        self, terms: Sequence[tuple[float, Structure]], dtype: torch.dtype, device: Any
    ) -> Any:
        """Σ cᵢ Ĝᵢ, None if a term has no symbol; a zero sum is a zero symbol."""
        assert self.grid is not None
        symbols = [(weight, part.symbol(dtype, device)) for weight, part in terms]
        mixing = [s.shape[0] for _, s in symbols if s is not None and s.ndim > self.grid.ndim]
        total = torch.zeros(self.grid.half_shape, dtype=dtype, device=device)
        for weight, symbol in symbols:
            if symbol is None:
                return None
            if mixing and symbol.ndim == self.grid.ndim:
                eye = torch.eye(mixing[0], dtype=dtype, device=device)
                symbol = eye[(..., *[None] * self.grid.ndim)] * symbol
            total = total + weight * symbol
        return total


def _flatten(weight: float, part: Structure) -> Iterator[tuple[float, Structure]]:
    """The terms of a combination inside a combination, their weights multiplied."""
    if isinstance(part, Combination):
        for inner, term in part.terms:
            yield weight * inner, term
    else:
        yield weight, part
