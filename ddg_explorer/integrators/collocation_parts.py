"""The linear part of a collocation step in the coordinates in which X is diagonal.

    wᵢ ← Rᵢ (bᵢ + (T⁻¹)ᵢ₀ Q u),   Rᵢ = (1 − λᵢz)⁻¹ Δt Ĝ,   z = Δt Ĝ(Q̂ + c),   a = T w

Operators are real, so they act on the complex field Re w + i Im w of a complex λ as on any field,
over the full shape of wavenumbers; a real λ needs the half shape only. Shapes: rows of numbers are
(rows, B·C·grid), symbols (*k) or, where channels mix, (C, C, *k).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.integrators.collocation_tableau import Tableau
from ddg_explorer.integrators.fourier import FourierForm
from ddg_explorer.solve import symbols


@dataclass(frozen=True)
class Part:
    """The coordinates that share their transforms: of one real λ, or of all m complex ones.

    Attributes
    ----------
    grid
        The grid.
    rows
        Its real coordinates within w.
    to_modes
        m matrices (s, 1 or 2): what its coordinates add to the modes.
    resolvent, start, defect
        R, R (T⁻¹)ᵢ₀ Q̂ and λz − 1: (m, 1, 1, *k) or, where channels mix, (m, 1, C, C, *k); complex,
        so that nothing is converted in the iteration.
    """

    grid: Grid
    rows: slice
    to_modes: tuple[Tensor, ...]
    resolvent: Tensor
    start: Tensor
    defect: Tensor

    @property
    def real(self) -> bool:
        return self.to_modes[0].shape[1] == 1

    def from_state(self, u: Tensor) -> Tensor:
        """What u, (B, C, *grid), contributes to ŵ: (m, B, C, *k)."""
        u_hat = self.grid.rfft(u) if self.real else torch.fft.fftn(u, dim=self.grid.axes)
        return self._times(self.start, u_hat[None])

    def apply(self, symbol: Tensor, rows: Tensor, shape: torch.Size) -> list[Tensor]:
        """Its coordinates times a symbol: m tensors (1 or 2, B·C·grid)."""
        return self._coordinates(self._times(symbol, self._transformed(rows, shape)))

    def image(self, moments: Tensor, start: Tensor) -> list[Tensor]:
        """New coordinates from b, all its rows: m tensors (1 or 2, B·C·grid)."""
        spectrum = self._transformed(moments, start.shape[1:3] + self.grid.shape)
        return self._coordinates(self._times(self.resolvent, spectrum).add_(start))

    def _transformed(self, rows: Tensor, shape: torch.Size) -> Tensor:
        """Coefficients (m, B, C, *k) of its coordinates."""
        own = rows[self.rows]
        if self.real:
            return self.grid.rfft(own.view(1, *shape))
        return torch.fft.fftn(
            torch.complex(own[0::2], own[1::2]).view(-1, *shape), dim=self.grid.axes
        )

    def _coordinates(self, spectrum: Tensor) -> list[Tensor]:
        if self.real:
            return [self.grid.irfft(spectrum).view(1, -1)]
        w = torch.fft.ifftn(spectrum, dim=self.grid.axes)
        return [torch.view_as_real(one).view(-1, 2).T for one in w]

    def _times(self, symbol: Tensor, x: Tensor) -> Tensor:
        """A symbol for each of m, on (m, B, C, *k); overwrites x where it can."""
        if symbol.ndim > x.ndim:
            return (symbol * x.unsqueeze(2)).sum(3)
        return x.mul_(symbol) if len(x) == len(symbol) else symbol * x


def parts(form: FourierForm, t: Tableau, dt: float, c: float) -> list[Part]:
    """The real part, if s is odd, and the complex one, if s > 1."""
    first = t.s % 2
    found = []
    if first:
        found.append(_part(form, t, dt, c, slice(0, 1), t.eigenvalues[:1]))
    if t.s > 1:
        g, q = (full_symbol(symbol, form.grid) for symbol in (form.g, form.q))
        whole = FourierForm(form.grid, g, q)
        found.append(_part(whole, t, dt, c, slice(first, t.s), t.eigenvalues[first:]))
    return found


def _part(
    form: FourierForm, t: Tableau, dt: float, c: float, rows: slice, eigenvalues: tuple
) -> Part:
    nd = form.grid.ndim
    step = dt * form.g
    shift = c * symbols.identity(form.q, nd) if symbols.mixes(form.q, nd) else c
    z = symbols.product(step, form.q + shift, nd)
    width = (rows.stop - rows.start) // len(eigenvalues)
    resolvents, starts, defects, columns = [], [], [], []
    for i, value in enumerate(eigenvalues):
        at = slice(rows.start + i * width, rows.start + (i + 1) * width)
        columns.append(t.to_modes[:, at].contiguous())
        weight = t.from_modes[at, 0].tolist()
        scaled = z * (value if width > 1 else value.real)
        stage = symbols.one_minus(scaled, nd)
        defects.append(-stage)
        resolvents.append(symbols.product(symbols.inverse(stage, nd), step, nd))
        starts.append(symbols.product(resolvents[-1], form.q, nd) * complex(*weight))
    stacks = (_stack(found, nd) for found in (resolvents, starts, defects))
    return Part(form.grid, rows, tuple(columns), *stacks)


def _stack(found: list[Tensor], ndim: int) -> Tensor:
    stacked = torch.stack(found)
    dims = (1,) if symbols.mixes(found[0], ndim) else (1, 2)
    for dim in dims:
        stacked = stacked.unsqueeze(dim)
    return stacked.to(torch.promote_types(stacked.dtype, torch.complex64)).contiguous()


def full_symbol(half: Tensor, grid: Grid) -> Tensor:
    """A real operator's symbol on all wavenumbers, from Ŝ(−k) = Ŝ(k)*; leading axes stay."""
    others = list(grid.axes[:-1])
    tail = half[..., 1 : (grid.shape[-1] + 1) // 2].conj().flip(grid.axes)
    if others:
        tail = tail.roll([1] * len(others), others)
    return torch.cat([half, tail.resolve_conj()], -1)
