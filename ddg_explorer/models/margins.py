"""How far a model's G is from an energy law, the same in any units of its components.

    u → Du   makes   G → D G Dᵀ,   H → H

so a friction in millimetres is a thousandth of that in metres beside the same largest entry. Energy
is therefore judged by D⁻¹ G D⁻¹, D the spread of every component in the data. `matrix_of` is the
G that people see, of an ODE or of a field's channels.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ddg_explorer.grids import Grid
from ddg_explorer.models.base import EnergyModel
from ddg_explorer.models.gauge import falls
from ddg_explorer.models.local_energy import LocalEnergy
from ddg_explorer.models.networks import EnergyNetwork, SeparableEnergy
from ddg_explorer.structure import Report, Structure

ROUNDING = 1e-12
"""Relative to the largest entry: a symmetric part, or a neighbour's weight, that is none."""
STILL = 1e-6
"""Largest entry of a row, relative to that of G, below which its component stays as it is."""


def spread(model: EnergyModel) -> Tensor:
    """Size of every component, or channel, in the data that the inputs were whitened on, `(d,)`.

    1 for a model that does not know it: an energy on inputs as they are, or a module of one's own.
    """
    network, size = model.network, model.state_shape[0]
    if isinstance(network, LocalEnergy):
        network = network.local
    if isinstance(network, SeparableEnergy):
        parts = [network.potential.density, network.kinetic.density]
    elif isinstance(network, EnergyNetwork):
        parts = [network.density]
    else:
        return torch.ones(size, dtype=torch.float64)
    found = [torch.linalg.inv(part.whiten.detach().double()).norm(dim=0) for part in parts]
    return torch.cat(found).unflatten(0, (size, -1)).square().mean(1).sqrt().cpu()


def in_units(
    report: Report,
    structure: Structure,
    sizes: Tensor,
    shape: tuple[int, ...],
    at: Tensor | None = None,
) -> Report:
    """The report with the margins of energy that D⁻¹GD⁻¹ has, times the report's largest entry.

    `sizes` is the diagonal of D, `(d,)`, `at` the state of the report. A G that acts alike on every
    channel has the same margins in all units.
    """
    symbol = structure.symbol()
    alike = structure.grid is not None and symbol is not None and symbol.ndim == structure.grid.ndim
    if alike or bool(sizes.max() <= (1 + ROUNDING) * sizes.min()):
        return report
    units = sizes[:, None] * sizes
    with torch.no_grad():
        if symbol is None or structure.grid is None:
            units = units.repeat_interleave(math.prod(shape[1:]), 0)
            units = units.repeat_interleave(math.prod(shape[1:]), 1)
            found = structure.matrix(shape, u=at).double() / units
            largest, blocks = found.abs().max(), found
        else:
            scaled = symbol / units[(..., *[None] * structure.grid.ndim)]
            largest = structure.grid.irfft(scaled).abs().max()
            blocks = scaled.movedim((0, 1), (-2, -1))
        values = torch.linalg.eigvalsh((blocks + blocks.mH) / 2)
    factor = report.scale / (float(largest) or 1.0)
    return replace(
        report,
        symmetric_max=factor * float(values.max()),
        symmetric_min=factor * float(values.min()),
    )


def energy_law(report: Report, structure: Structure) -> str:
    """ "conserved", "dissipated" or "can rise", to the tolerance of the report.

    A G that dissipates by construction conserves only where it has no symmetric part at all: its
    friction is no error of training, however small it is.
    """
    none = report.symmetric_min >= -ROUNDING * report.scale
    if report.is_skew and (none or not falls(structure)):
        return "conserved"
    return "dissipated" if report.is_dissipative else "can rise"


def energy_sentence(report: Report, structure: Structure) -> str:
    """The law in words, with its margin relative to the largest entry."""
    if report.is_skew and energy_law(report, structure) == "dissipated":
        fall = -report.symmetric_min / (report.scale or 1.0)
        return f"energy never rises (by construction; its fastest fall is {fall:.1e})"
    return report.sentences()[0]


def still_components(matrix: Tensor, sizes: Tensor) -> tuple[int, ...]:
    """Components that a G, `(d, d)`, never changes, as of a column of data that is constant."""
    rows = (matrix / sizes[:, None] / sizes).abs().amax(1)
    return tuple(torch.nonzero(rows <= STILL * rows.max()).flatten().tolist())


def matrix_of(
    structure: Structure, grid: Grid | None, state_shape: tuple[int, ...], at: Tensor | None = None
) -> Tensor | None:
    """G of an ODE, `(d, d)`, or of the channels of a field, `(C, C)`, in float64.

    None for a field of one channel, and where other points or the state take part.
    """
    if grid is None:
        return structure.matrix(state_shape, u=at).double()
    size = state_shape[0]
    if structure.state_dependent or size == 1:
        return None
    units = torch.zeros((size, *state_shape), dtype=torch.float64)
    site = (0,) * grid.ndim
    units[(slice(None), slice(None), *site)] = torch.eye(size).to(units)
    response = structure.apply(units).double()
    found = response[(slice(None), slice(None), *site)].clone()
    response[(slice(None), slice(None), *site)] = 0
    here_only = bool(response.abs().max() <= ROUNDING * found.abs().max())
    return found.mT.contiguous() if here_only else None
