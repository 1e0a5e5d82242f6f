"""What a learned structure operator turned out to be, up to the scale that data leave free.

    G = κ ⋆ (a kernel),   (G g)(u) = M(u) g (a matrix)

H → cH, G → G/c changes no right-hand side, so G is looked at after `models.gauge.normalise`. The
laws are measured, not assumed: the sum of the kernel relative to its centre (mass), the largest
value of the symmetric part's symbol relative to the magnitude of its smallest (energy), and the
difference from the kernel's rotations and reflections (isotropy). Energy is judged with every
component in units of its spread in the data (`models.margins`), so no unit changes the verdict.

The distance to a known true stencil is that of `structure.comparison`. Beside an H that leaves more
than the scale open a free matrix is taken as `models.freedom.lawful` has it, and compared with all
its equals too.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.models import margins
from ddg_explorer.models.base import EnergyModel, Model
from ddg_explorer.models.freedom import family, family_distance, lawful
from ddg_explorer.models.gauge import normalise
from ddg_explorer.models.operators import make_operator
from ddg_explorer.structure import MatrixStructure, Report, Structure
from ddg_explorer.structure.comparison import distance, padded

TOLERANCE = 1e-3
"""Relative defect that a verdict allows; the published kernel's sum is 1.3e-3 of its centre."""

ROUNDING = 1e-13
"""Weights below this fraction of the largest are rounding of a transform."""


@dataclass(frozen=True)
class StructureFindings:
    """G of a model after its scale was fixed.

    Attributes
    ----------
    kernel
        Weights around a site, for a convolution of one channel; else None.
    matrix
        G of an ODE, or of the channels of a field where it mixes these at every point alone; else
        None.
    scale
        c by which H was multiplied and G divided.
    learned
        Whether G was learned at all.
    report
        All margins, in G's own units but for energy: those of `margins.in_units`.
    energy_law, energy_sentence
        "conserved", "dissipated" or "can rise", and in words.
    sum_over_centre
        |Σκ| over the largest |κⱼ|, which is the centre of any dissipative kernel; None without one.
    anisotropy
        Largest difference from the eight (in 1-D two) images, relative to the largest weight;
        None for an ODE.
    symbol_max_over_abs_min
        Largest over magnitude of the smallest eigenvalue of ½(G + Gᵀ), signed: ≤ 0 dissipates.
        None for a G that is skew to the tolerance, where both are noise.
    distance
        To the true stencil or matrix of the system it learned, see the module; None where unknown.
    tolerance
        Of the verdicts.
    freedom
        For a free matrix: how many factors data leave open, 1 for the scale alone; else None.
    family_distance
        To the nearest of all matrices that differ from the true one in these factors only, relative
        to the largest entry; None where unknown.
    still
        Components that a learned G of an ODE, the same in every state, never changes.
    at
        Where a G that depends on the state was looked at, "u = 0" or "the given state"; else "".
    everywhere
        Whether energy law, mass and isotropy are those of every state, by construction of G.
    """

    kernel: Tensor | None
    matrix: Tensor | None
    scale: float
    learned: bool
    report: Report
    energy_law: str
    energy_sentence: str
    sum_over_centre: float | None
    anisotropy: float | None
    symbol_max_over_abs_min: float | None
    distance: float | None
    tolerance: float
    freedom: int | None = None
    family_distance: float | None = None
    still: tuple[int, ...] = ()
    at: str = ""
    everywhere: tuple[bool, bool, bool] = (True, True, True)

    def verdicts(self) -> dict[str, Any]:
        """mass (bool), energy ("conserved", "dissipated", "can rise"), isotropic (bool or None)."""
        field = self.anisotropy is not None
        return {
            "mass": self.report.conserves_mass if field else None,
            "energy": self.energy_law,
            "isotropic": self.report.is_isotropic if field else None,
        }

    def margins(self) -> dict[str, float | None]:
        """Defects relative to the largest weight, that the verdicts rest on; the energy's is the
        largest growth, negative where it falls strictly, or for a skew G how far it is from it."""
        unit = self.report.scale or 1.0
        field = self.anisotropy is not None
        skew = self.energy_law == "conserved"
        energy = self.report.skew_defect if skew else self.report.symmetric_max
        return {
            "mass": self.report.mass_defect / unit if field else None,
            "energy": energy / unit,
            "isotropic": self.anisotropy,
        }

    def sentences(self) -> list[str]:
        """The verdicts in words, with their margins and the state that they are of; a skew kernel
        is odd, so never isotropic."""
        where = f"at {self.at}: " if self.at else ""
        told = (self.energy_sentence, *self.report.sentences()[1:])
        laws = zip(self.everywhere, told, strict=False)
        lines = [line if everywhere else where + line for everywhere, line in laws]
        if self.anisotropy is None:
            lines = lines[:1]
        for i in self.still:
            lines.append(
                f"component {i} never changes under this G: leave a constant column out of the "
                "data, which do not determine G beside it"
            )
        if self.distance is not None:
            unit = "entry" if self.kernel is None else "weight beside the centre"
            size = f"{self.distance:.1e} of its largest {unit}"
            lines.append(f"{where}differs from the true operator by {size}")
        if self.freedom is not None and self.freedom > 1:
            lines.append(
                f"the learned H leaves {self.freedom} factors of G open, not its scale alone (it "
                "is separable or quadratic): of all G with this motion the one by which energy "
                "rises least"
            )
            if self.family_distance is not None:
                lines.append(f"the true operator's family is {self.family_distance:.1e} away")
        return lines


def inspect_structure(
    model: Model, *, at: Tensor | None = None, tolerance: float = TOLERANCE
) -> StructureFindings:
    """Look at G of a model, in float64; the model itself stays as it is.

    Parameters
    ----------
    model
        Any model with an energy.
    at
        One state, for a G that depends on it; None: the state zero.
    tolerance
        Relative defect that a verdict allows.

    Raises
    ------
    ValueError
        For a model without G.
    """
    if not isinstance(model, EnergyModel):
        raise ValueError(f"model={model.key!r}: has no structure operator to inspect")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance={tolerance}: must lie between 0 and 1")
    model = copy.deepcopy(model).double()
    place = ""
    if model.structure.state_dependent:
        place = "u = 0" if at is None else "the given state"
        at = torch.zeros(model.state_shape) if at is None else at
        at = at.to(model.device, model.dtype)
    structure, scale, learned = normalised_structure(model, at)
    sizes, shape = margins.spread(model), model.state_shape
    report = structure.report(at, shape=shape, tolerance=tolerance)
    report = margins.in_units(report, structure, sizes, shape, at)
    kernel = None
    with torch.no_grad():
        matrix = margins.matrix_of(structure, model.grid, shape, at)
        if model.grid is not None:
            kernel = stencil_of(structure, model.grid, shape)
    found = kernel if kernel is not None else matrix
    basis = family(model)
    energy, low = margins.energy_law(report, structure), abs(report.symmetric_min)
    skew = energy == "conserved"
    ratio = None if skew or low == 0 else report.symmetric_max / low
    law = structure.is_skew if skew else structure.is_dissipative
    own = matrix if learned and model.grid is None and not place else None
    return StructureFindings(
        kernel=kernel,
        matrix=matrix,
        scale=scale,
        learned=learned,
        report=report,
        energy_law=energy,
        energy_sentence=margins.energy_sentence(report, structure),
        sum_over_centre=None if kernel is None else float(kernel.sum().abs() / kernel.abs().max()),
        anisotropy=None if report.anisotropy is None else report.anisotropy / (report.scale or 1.0),
        symbol_max_over_abs_min=ratio,
        distance=None if found is None else _distance_to_truth(model, found),
        tolerance=tolerance,
        freedom=None if basis is None else len(basis),
        family_distance=None if basis is None else _distance_to_family(model, matrix, basis),
        still=() if own is None else margins.still_components(own, sizes),
        at=place,
        everywhere=(law, structure.conserves_mass, structure.is_isotropic),
    )


def normalised_structure(
    model: EnergyModel, at: Tensor | None = None
) -> tuple[Structure, float, bool]:
    """G with its freedom fixed, c, and whether G was learned; the model itself stays as it is.

    The freedom is a scale, and where H leaves more open the choice of `models.freedom.lawful`.
    """
    if model.structure.module is None:
        return model.structure, 1.0, model.key == "symplectic_form"
    own = copy.deepcopy(model)
    scale, basis = normalise(own, at=at), family(own)
    if basis is not None and len(basis) > 1:
        matrix = own.structure.matrix(model.state_shape).detach().double()
        found = lawful(matrix, basis, margins.spread(own))
        if found is not None:
            return MatrixStructure(found), scale, True
    return own.structure, scale, True


def stencil_of(structure: Structure, grid: Grid, state_shape: tuple[int, ...]) -> Tensor | None:
    """Weights around a site, the smallest odd box that holds them all; None for no convolution
    of one channel, or one without finite reach.

    Weight j multiplies the neighbour at +j, the centre is j = 0.
    """
    if structure.state_dependent or state_shape[0] != 1:
        return None
    impulse = torch.zeros((1, *grid.shape), dtype=torch.float64)
    centre = tuple(n // 2 for n in grid.shape)
    impulse[(0, *centre)] = 1.0
    # the response at x + j of an impulse at x is the weight of offset −j
    response = structure.apply(impulse)[0].double()
    used = torch.nonzero(response.abs() > ROUNDING * response.abs().max())
    if not len(used):
        return response.new_zeros((1,) * grid.ndim)
    half = (used - torch.tensor(centre)).abs().amax(0).tolist()
    if any(2 * h + 1 >= n for h, n in zip(half, grid.shape, strict=True)):
        return None
    cut = tuple(slice(c - h, c + h + 1) for c, h in zip(centre, half, strict=True))
    return response[cut].flip(list(range(grid.ndim)))


def true_structure(model: EnergyModel) -> Structure | None:
    """G that the data of the model note in its context, None where they do not.

    Raises
    ------
    ValueError
        For a note that is no specification of a G for such states.
    """
    known = model.context.get("structure")
    if known is None:
        return None
    return make_operator(known, model.state_shape, model.grid, torch.Generator(), torch.float64)


def _distance_to_family(model: EnergyModel, found: Tensor | None, basis: Tensor) -> float | None:
    truth = true_structure(model)
    if truth is None or found is None:
        return None
    return family_distance(found, truth.matrix(model.state_shape), basis)


def _distance_to_truth(model: EnergyModel, found: Tensor) -> float | None:
    """Distance to the true G, None where that is not known or has no stencil."""
    truth = true_structure(model)
    if truth is None:
        return None
    if model.grid is None or model.state_shape[0] > 1:
        true = margins.matrix_of(truth, model.grid, model.state_shape)
        return None if true is None else distance(found, true)
    true = stencil_of(truth, model.grid, model.state_shape)
    if true is None or model.context["structure"].get("operator") == "spectral":
        return None
    shape = [max(a, b) for a, b in zip(found.shape, true.shape, strict=True)]
    return distance(padded(found, shape), padded(true, shape))
