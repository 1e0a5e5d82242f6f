"""Entries of an edited structure operator: what they mean, where they start, what G they make.

    G = factor · entries,   factor = 1/Δxᵖ, p the order of the operator they start from

Fields of one channel have a kernel of 3 or 3 × 3 weights, listed as they are drawn: rows from the
top (y = +Δx) to the bottom, each from left to right. Others have a matrix that acts on (q, p), or
on the channels (u, v), the same for every coordinate and at every site. Everything that is not
numbers here is the menu's: an edited scene still names the operator it started from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ddg_explorer.learned_structure import ROUNDING, stencil_of
from ddg_explorer.structure import KernelStructure, MatrixStructure, Structure
from ddg_explorer.structure import projections as project
from ddg_explorer.structure.comparison import padded
from ddg_explorer.systems.builtin import PresetSystem

ENTRY_LIMIT = 1e4
"""Largest |entry| that is accepted."""
COUNTS = (3, 4, 9, 16)
FULL = 4
"""ODEs of up to this many components show the whole matrix, larger ones its block of (q, p)."""
POWERS = {
    "laplacian": 2,
    "degenerate_mobility": 2,
    "d_dx": 1,
    "d_dx_viscous": 1,
    "d_dx_growing": 1,
}
"""Operator → the power of 1/Δx in front of its entries, 0 for all others."""
TWINS = {"degenerate_mobility": "laplacian"}
"""An operator that depends on the state has no kernel: editing starts from that of this one."""

_SUPERSCRIPT = {1: "", 2: "²"}


@dataclass(frozen=True)
class Form:
    """How the G of a system is edited.

    Attributes
    ----------
    kind
        "kernel" or "matrix".
    rows, columns
        Of what is shown.
    factor, factor_text
        What stands in front of the entries.
    names
        Rows and columns of a matrix; empty for a kernel.
    """

    kind: str
    rows: int
    columns: int
    factor: float = 1.0
    factor_text: str = ""
    names: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of entries."""
        return self.rows * self.columns


def checked(entries: Sequence[float]) -> tuple[float, ...]:
    """The entries as a tuple; ValueError unless there are 3, 4, 9 or 16 of reasonable size."""
    out = tuple(float(x) for x in entries)
    if len(out) not in COUNTS:
        raise ValueError(f"entries: {len(out)} of them; use {', '.join(map(str, COUNTS))}")
    for x in out:
        if not (math.isfinite(x) and abs(x) <= ENTRY_LIMIT):
            raise ValueError(f"entries={x:g}: must lie in [{-ENTRY_LIMIT:g}, {ENTRY_LIMIT:g}]")
    return out


def to_text(entries: Sequence[float]) -> str:
    """For a link: `-0.5,0,0.5`."""
    return ",".join(repr(float(x)) if x != int(x) else str(int(x)) for x in entries)


def from_text(text: str) -> tuple[float, ...]:
    """Of a link; ValueError for what is no list of numbers."""
    try:
        return checked([float(part) for part in text.split(",")])
    except ValueError as problem:
        if str(problem).startswith("entries"):
            raise
        raise ValueError(f"entries={text!r}: must be numbers with commas between") from None


def base_key(structure: str | None, system: PresetSystem) -> str:
    """The operator that entries started from: the one named, else the system's first."""
    return structure or next(iter(system.structures))


def form_of(system: PresetSystem, key: str) -> Form | None:
    """How this system's G is edited from the operator `key`; None where it has no such form."""
    grid = system.grid
    if grid is None:
        d = system.state_shape[0]
        size = d if d <= FULL else 2
        names = ("q", "p") if size == 2 else tuple(str(i + 1) for i in range(size))
        return Form("matrix", size, size, names=names)
    if system.channels == 1:
        power = POWERS.get(key, 0)
        text = f"1/Δx{_SUPERSCRIPT[power]}" if power else ""
        rows = 3 if grid.ndim == 2 else 1
        return Form("kernel", rows, 3, grid.spacing[0] ** -power, text)
    if "strain_wave" in system.structures:
        return None
    return Form("matrix", system.channels, system.channels, names=("u", "v")[: system.channels])


def started(system: PresetSystem, key: str, form: Form) -> tuple[float, ...]:
    """Entries of the menu's operator `key` in this form, from its finite differences."""
    structure = system.structure
    if form.kind == "kernel" and (system.operator == "spectral" or key in TWINS):
        twin = system.with_(operator="finite_difference", structure=TWINS.get(key, key))
        structure = twin.structure
    return of_structure(structure, system, form)


def of_structure(
    structure: Structure, system: PresetSystem, form: Form, scale: float = 1.0
) -> tuple[float, ...]:
    """Entries of scale · G for any operator on the system's states.

    Raises
    ------
    ValueError
        For an operator that this form cannot hold.
    """
    if form.kind == "matrix":
        return _rounded(scale * _block(structure, system, form) / form.factor)
    assert system.grid is not None
    kernel = stencil_of(structure, system.grid, system.state_shape)
    if kernel is None or max(kernel.shape) > 3:
        raise ValueError("its weights reach further than the neighbours that the table holds")
    return _rounded(scale * _drawn(padded(kernel, [3] * kernel.ndim)) / form.factor)


def edited(entries: Sequence[float], system: PresetSystem, form: Form | None) -> Structure:
    """The operator that the entries make on this system's states.

    Raises
    ------
    ValueError
        If their number does not suit it, or it has no such form.
    """
    if form is None:
        raise ValueError(f"entries: {system.title} in this form has no kernel or matrix to edit")
    if len(entries) != form.count:
        raise ValueError(f"entries: {len(entries)} of them; {system.title} needs {form.count}")
    table = form.factor * tensor(entries, form)
    if form.kind == "kernel":
        assert system.grid is not None
        return KernelStructure(system.grid, table)
    if system.grid is not None:
        return MatrixStructure(table, system.grid)
    copies = system.state_shape[0] // form.rows
    return MatrixStructure(torch.kron(table, torch.eye(copies, dtype=table.dtype)))


def tensor(entries: Sequence[float], form: Form) -> Tensor:
    """Entries as a kernel over (x, y) offsets, or a matrix; float64, without the factor."""
    table = torch.tensor(entries, dtype=torch.float64).reshape(form.rows, form.columns)
    if form.kind == "matrix":
        return table
    return table[0] if form.rows == 1 else table.flip(0).T


def projected(entries: Sequence[float], law: str, form: Form, points: Sequence[int]) -> tuple:
    """The entries made to obey "skew", "dissipative", "zero_sum" or "isotropic"."""
    table = tensor(entries, form)
    if form.kind == "matrix":
        make = {"skew": project.skew_matrix, "dissipative": project.dissipative_matrix}[law]
        return tuple(make(table).flatten().tolist())
    if law == "dissipative":
        return tuple(_drawn(project.dissipative_kernel(table, points)).flatten().tolist())
    makers = {
        "skew": project.skew_kernel,
        "zero_sum": project.zero_sum_kernel,
        "isotropic": project.isotropic_kernel,
    }
    return tuple(_drawn(makers[law](table)).flatten().tolist())


def laws_of(form: Form) -> tuple[str, ...]:
    """The laws that entries of this form can be made to obey."""
    if form.kind == "matrix":
        return ("skew", "dissipative")
    return ("skew", "dissipative", "zero_sum", "isotropic")


def _drawn(kernel: Tensor) -> Tensor:
    """A kernel over (x, y) offsets as it is drawn."""
    return kernel if kernel.ndim == 1 else kernel.T.flip(0)


def _block(structure: Structure, system: PresetSystem, form: Form) -> Tensor:
    """The matrix of a mechanical operator, or that on the channels of a field."""
    if system.grid is not None:
        symbol = structure.symbol()
        assert symbol is not None
        return symbol[(..., *[0] * system.grid.ndim)].real.double()
    whole = structure.matrix(system.state_shape).double()
    step = system.state_shape[0] // form.rows
    block = whole[::step, ::step].contiguous()
    copies = torch.kron(block, torch.eye(step, dtype=block.dtype))
    if float((copies - whole).abs().max()) > ROUNDING * float(whole.abs().max()):
        raise ValueError("its matrix is not the same for every coordinate, as the table is")
    return block


def _rounded(table: Tensor) -> tuple[float, ...]:
    """Without the last digits, which are rounding of the factor."""
    return tuple(float(f"{x:.12g}") + 0.0 for x in table.flatten().tolist())
