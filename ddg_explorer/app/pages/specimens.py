"""Structure operators to look at, learned or fixed, each with what it is compared to.

    ‖G‖ = ‖R‖,   H → cH, G → G/c        (`models.gauge`: the scale of a learned G)

A specimen holds G, its margins, its weights where they fit on a page (a stencil, or a matrix), and
a second operator beside it: the true one of a learned G, the exact derivative of a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.learned_structure import (
    inspect_structure,
    normalised_structure,
    stencil_of,
    true_structure,
)
from ddg_explorer.models import EnergyModel, Model
from ddg_explorer.structure import Friction, KernelStructure, Laplacian, Report, Structure
from ddg_explorer.structure.base import TOLERANCE as ROUNDING
from ddg_explorer.structure.comparison import distance, padded
from ddg_explorer.systems import SYSTEMS

PUBLISHED_KERNEL = (
    (2.450, 1.339, 2.448),
    (1.328, -15.148, 1.326),
    (2.447, 1.338, 2.452),
)
"""G learned without constraint on 2-D Cahn–Hilliard, as T. Matsubara shows it (the journal sequel:
doi 10.1109/TNNLS.2025.3529516). Rounded to three decimals; its scale is free."""
PUBLISHED_TOLERANCE = 2e-3
"""Rounding may have moved its sum, 1.3e-3 of the centre, by 0.0045 of 15.148."""
WIDEST = 9
"""Width of a stencil that is still shown as one."""
LARGEST_MATRIX = 24
"""Rows of a matrix that is still shown as one."""
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
NODES = 12
"""Nodes of the grid on which a 1-D operator without a small stencil is shown as a matrix."""


@dataclass(frozen=True)
class Specimen:
    """An operator as the page shows it.

    Attributes
    ----------
    title, note
        What it is, and how it was scaled or measured; lines for people.
    structure, beside
        G, and the operator it is compared to, None for none.
    beside_title
        What that one is.
    grid
        Of a field, None for an ODE.
    weights, beside_weights
        Stencil around a site (as many axes as the grid) or matrix (2 axes), None where neither
        fits.
    kind
        "kernel" or "matrix".
    names
        Rows and columns of the matrix of an ODE; empty where only their numbers are known.
    report
        Margins of every law.
    tolerance
        Relative defect that its verdicts allow at first.
    """

    title: str
    note: str
    structure: Structure
    grid: Grid | None
    report: Report
    tolerance: float
    weights: Tensor | None = None
    kind: str = "kernel"
    beside: Structure | None = None
    beside_title: str = ""
    beside_weights: Tensor | None = None
    names: tuple[str, ...] = ()

    @property
    def gap(self) -> float | None:
        """`distance` of the weights to those beside; None without both."""
        if self.weights is None or self.beside_weights is None:
            return None
        return distance(self.weights, self.beside_weights)

    def judged(self, tolerance: float) -> Report:
        """The report with verdicts of another tolerance."""
        return replace(self.report, tolerance=tolerance)


@torch.no_grad()
def of_model(title: str, model: Model) -> Specimen:
    """G of a model at the scale its report uses, the true G beside it.

    Raises
    ------
    ValueError
        For a model without a structure operator.
    """
    found = inspect_structure(model)
    assert isinstance(model, EnergyModel)
    at = torch.zeros(model.state_shape, dtype=model.dtype)
    structure, scale, learned = normalised_structure(model, at)
    note = "Fixed: this model learned its energy only."
    if isinstance(structure.module, Friction):
        note = "Its friction is learned with the energy; S beside it fixes the scale."
    elif learned:
        note = (
            "Learned with the energy. H → cH, G → G/c changes no motion, so the scale is a "
            f"convention: here c = {scale:.3g}, which gives G the norm of what it resembles."
        )
    if structure.state_dependent:
        note += " G depends on the state; shown at u = 0."
    kernel = found.kernel is not None
    weights, beside, true = found.kernel if kernel else found.matrix, true_structure(model), None
    if beside is not None and model.grid is not None:
        true = stencil_of(beside, model.grid, model.state_shape)
    elif beside is not None:
        true = beside.matrix(model.state_shape)
    if kernel and true is not None and weights is not None:
        shape = [max(a, b) for a, b in zip(weights.shape, true.shape, strict=True)]
        weights, true = padded(weights, shape), padded(true, shape)
    return Specimen(
        title,
        note,
        structure,
        model.grid,
        found.report,
        found.tolerance,
        weights,
        "kernel" if kernel else "matrix",
        beside,
        "True operator",
        true if weights is not None else None,
        () if kernel or beside is None else coordinates(weights),
    )


def coordinates(matrix: Tensor | None) -> tuple[str, ...]:
    """Positions, then momenta, of a system's ODE: (q, p), or (q₁, …, p₁, …) of several."""
    half = 0 if matrix is None or len(matrix) % 2 else len(matrix) // 2
    if half == 1:
        return ("q", "p")
    counted = [str(i + 1).translate(SUBSCRIPTS) for i in range(half)]
    return tuple(f"{letter}{i}" for letter in "qp" for i in counted)


@torch.no_grad()
def of_structure(
    title: str,
    structure: Structure,
    state_shape: Sequence[int] | None = None,
    *,
    at: Tensor | None = None,
    note: str = "",
) -> Specimen:
    """Any operator, with margins in its own units.

    Parameters
    ----------
    state_shape
        Where the operator does not know it; None and unknown: a pair (q, p).
    at
        One state, for a G that depends on it; None: the state zero.
    """
    shape = tuple(state_shape or structure.state_shape or (2,))
    if at is None and structure.state_dependent:
        at = torch.zeros(shape, dtype=torch.float64)
    report = structure.report(at, shape=shape)
    kernel = None if structure.grid is None else stencil_of(structure, structure.grid, shape)
    if kernel is not None and max(kernel.shape) > WIDEST:
        kernel = None
    matrix = None
    if kernel is None and torch.Size(shape).numel() <= LARGEST_MATRIX:
        matrix = structure.matrix(shape, u=at)
    return Specimen(
        title,
        note,
        structure,
        structure.grid,
        report,
        ROUNDING,
        kernel if kernel is not None else matrix,
        "kernel" if kernel is not None else "matrix",
    )


def of_system(name: str, key: str, operator: str | None = None) -> Specimen:
    """An operator from a system's own menu; the exact derivative beside a difference quotient.

    Parameters
    ----------
    name, key
        Keys of `SYSTEMS` and of that system's `structures`.
    operator
        "finite_difference" or "spectral" for a field.
    """
    options: dict[str, Any] = {} if operator is None else {"operator": operator}
    system = SYSTEMS[name](structure=key, **options)
    at = system.initial() if system.structure.state_dependent else None
    note = "" if at is None else "G depends on the state; measured at the initial state."
    title = f"{system.title}, G = {system.structures[key].partition(':')[0]}"
    found = of_structure(title, system.structure, system.state_shape, at=at, note=note)
    if system.grid is None:
        return replace(found, names=coordinates(found.weights))
    if found.weights is None and system.grid.ndim == 1:
        found = _as_matrix(found, name, key, options, system.grid)
    if operator != "finite_difference" or found.structure.symbol() is None:
        return found
    exact = SYSTEMS[name](structure=key, operator="spectral").structure
    symbol, own = exact.symbol(), found.structure.symbol()
    if symbol is None or own is None or torch.equal(symbol, own):
        return found
    return replace(found, beside=exact, beside_title="Exact derivative")


@torch.no_grad()
def _as_matrix(
    found: Specimen, name: str, key: str, options: dict[str, Any], grid: Grid
) -> Specimen:
    """The same operator on a few nodes of the same spacing, as a matrix."""
    small = SYSTEMS[name](structure=key, n=NODES, length=NODES * grid.spacing[0], **options)
    at = small.initial() if small.structure.state_dependent else None
    matrix = small.structure.matrix(small.state_shape, u=at)
    line = f"The matrix is that of a grid of {NODES} nodes with the same Δx."
    return replace(found, weights=matrix, kind="matrix", note=f"{found.note} {line}".strip())


@torch.no_grad()
def published_kernel() -> Specimen:
    """The published learned kernel, as printed; the five-point Laplacian at its norm beside it."""
    weights = torch.tensor(PUBLISHED_KERNEL, dtype=torch.float64)
    grid = Grid.of(64, 64.0, 2)
    structure = KernelStructure(grid, weights)
    plain = stencil_of(Laplacian(grid), grid, (1, *grid.shape))
    assert plain is not None
    factor = float(weights.norm() / plain.norm())
    return Specimen(
        "Published 3×3 kernel, 2-D Cahn–Hilliard",
        "Learned without any constraint, as published to three decimals. Its scale is free: the "
        "five-point Laplacian beside it has the same norm. Nine free weights found an operator "
        "that conserves mass, dissipates energy and looks alike in all directions.",
        structure,
        grid,
        structure.report(),
        PUBLISHED_TOLERANCE,
        weights,
        "kernel",
        factor * Laplacian(grid),
        "Five-point Laplacian",
        factor * plain,
    )
