"""Measured properties of a structure operator: how far G is from obeying each law.

The numbers come from the materialised matrix G, or from its Fourier symbol Ĝ(k) and weights κ(x)
where G is a convolution, (G g)(x) = Σ_y κ(x − y) g(y). They are in G's own units; verdicts compare
them with a tolerance times the largest entry of G.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations, product

import torch
from torch import Tensor

from ddg_explorer.grids import Grid


@dataclass(frozen=True)
class Report:
    """Margins of a structure operator, each zero (or negative) where the law holds.

    Attributes
    ----------
    scale
        Largest |entry| of G.
    symmetric_max, symmetric_min
        Extreme eigenvalues of ½(G + Gᵀ): dH/dt lies between them times Δxᵈ‖δH/δu‖².
    mass_defect
        Largest |column sum|, taken per output channel.
    anisotropy
        Largest |entry| of G(Pu) − P G(u) Pᵀ over the grid's rotations and reflections P; None for
        an ODE.
    tolerance
        Verdicts allow a defect of `tolerance · scale`.
    """

    scale: float
    symmetric_max: float
    symmetric_min: float
    mass_defect: float
    anisotropy: float | None
    tolerance: float

    @property
    def skew_defect(self) -> float:
        """‖½(G + Gᵀ)‖₂, zero for a skew G."""
        return max(abs(self.symmetric_max), abs(self.symmetric_min))

    @property
    def is_skew(self) -> bool:
        return self._small(self.skew_defect)

    @property
    def is_dissipative(self) -> bool:
        return self._small(self.symmetric_max)

    @property
    def conserves_mass(self) -> bool:
        return self._small(self.mass_defect)

    @property
    def is_isotropic(self) -> bool:
        return self.anisotropy is not None and self._small(self.anisotropy)

    def _small(self, defect: float) -> bool:
        return defect <= self.tolerance * self.scale

    def sentences(self) -> tuple[str, ...]:
        """One readable verdict per law, with its margin relative to the largest entry."""
        unit = self.scale or 1.0
        if self.is_skew:
            energy = f"energy is conserved (skew to {self.skew_defect / unit:.1e})"
        elif self.is_dissipative:
            energy = f"energy never rises (largest growth {self.symmetric_max / unit:+.1e})"
        else:
            energy = f"energy can rise (largest growth {self.symmetric_max / unit:+.1e})"
        kept = "is" if self.conserves_mass else "is not"
        lines = [energy, f"mass {kept} conserved (column sums {self.mass_defect / unit:.1e})"]
        if self.anisotropy is not None:
            same = "isotropic" if self.is_isotropic else "not isotropic"
            lines.append(f"{same} (differs by {self.anisotropy / unit:.1e})")
        return tuple(lines)

    def __str__(self) -> str:
        return "\n".join(self.sentences())


def report_of_matrix(
    matrix: Tensor,
    shape: tuple[int, ...],
    grid: Grid | None,
    tolerance: float,
    moved: Callable[[Symmetry], Tensor] | None = None,
) -> Report:
    """Report of a dense (N, N) matrix that acts on flattened states of `shape`.

    `moved(P)` is the matrix at the moved state Pu, for a G that depends on u: isotropy is then
    G(Pu) = P G(u) Pᵀ.
    """
    size = matrix.shape[0]
    eigenvalues = torch.linalg.eigvalsh((matrix + matrix.T) / 2)
    channels = 1 if grid is None else shape[0]
    sums = matrix.reshape(channels, -1, size).sum(1)
    anisotropy = None
    if grid is not None:
        index = torch.arange(size).reshape(shape)
        anisotropy = 0.0
        for move in symmetries(grid):
            order = move(index).flatten()
            there = matrix if moved is None else moved(move)
            anisotropy = max(anisotropy, float((there - matrix[order][:, order]).abs().max()))
    return Report(
        scale=float(matrix.abs().max()),
        symmetric_max=float(eigenvalues[-1]),
        symmetric_min=float(eigenvalues[0]),
        mass_defect=float(sums.abs().max()),
        anisotropy=anisotropy,
        tolerance=tolerance,
    )


def report_of_symbol(symbol: Tensor, weights: Tensor, grid: Grid, tolerance: float) -> Report:
    """Report of a convolution from Ĝ, half shape or (C, C, *half), and κ, grid or (C, C, *grid)."""
    if symbol.ndim == grid.ndim:
        real = symbol.real
        extremes = float(real.max()), float(real.min())
    else:
        blocks = symbol.movedim((0, 1), (-2, -1))
        eigenvalues = torch.linalg.eigvalsh((blocks + blocks.mH) / 2)
        extremes = float(eigenvalues.max()), float(eigenvalues.min())
    moved = [(move(weights) - weights).abs().max() for move in symmetries(grid)]
    return Report(
        scale=float(weights.abs().max()),
        symmetric_max=extremes[0],
        symmetric_min=extremes[1],
        mass_defect=float(weights.sum(grid.axes).abs().max()),
        anisotropy=max(float(defect) for defect in moved),
        tolerance=tolerance,
    )


class Symmetry:
    """A rotation or reflection about node 0 of a periodic grid, acting on a field's last axes."""

    def __init__(self, order: tuple[int, ...], flips: tuple[int, ...]) -> None:
        self.order, self.flips = order, flips

    def __call__(self, field: Tensor) -> Tensor:
        lead = field.ndim - len(self.order)
        out = field.permute(*range(lead), *(lead + axis for axis in self.order))
        if self.flips:
            # Reversing x → −x keeps node 0 in place: n−1, …, 1, 0 moved on by one.
            out = torch.roll(out.flip(self.flips), (1,) * len(self.flips), self.flips)
        return out


def symmetries(grid: Grid) -> Iterator[Symmetry]:
    """The grid's rotations and reflections: 2 in 1-D, 8 on a square, 4 on a rectangle."""
    sides = list(zip(grid.shape, grid.length, strict=True))
    for order in permutations(range(grid.ndim)):
        if all(sides[a] == sides[b] for a, b in enumerate(order)):
            for signs in product((False, True), repeat=grid.ndim):
                yield Symmetry(order, tuple(a for a, s in zip(grid.axes, signs, strict=True) if s))
