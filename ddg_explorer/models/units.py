"""Sizes of the components of data, by which a model is kept independent of their units.

    σᵢ = RMS of (v − u)ᵢ/Δt,        u → Du   makes   σ → Dσ,   G → D G D,   H → H

With q in millimetres beside p in kg m/s these differ by orders of magnitude, and so do the entries
of G: in units of σ, G = diag(σ) Ĝ diag(σ), those of Ĝ are of one size, whatever the units were, and
a friction is Ĝ's times σ_p/σ_q. A channel of a field is a component here.
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

FAR = 4.0
"""Ratio of two σ from which residuals are weighted and a learned G is kept in units of them: a mean
over all components counts the smaller one a sixteenth already, and a friction wanders."""
STILL = 1e-12
"""Change relative to the largest value below which a component never changes."""


@runtime_checkable
class Series(Protocol):
    """What has trajectories `(trajectories, frames, C, …)` at a fixed Δt."""

    @property
    def u(self) -> Tensor: ...
    @property
    def dt(self) -> float: ...


def sizes(data: Series) -> Tensor:
    """σ, `(C,)` in float64; 0 for a component that never changes."""
    rest = [0, 1, *range(3, data.u.ndim)]
    change = data.u.diff(1, 1)
    still = change.abs().amax(rest) <= STILL * data.u.abs().amax(rest)
    found = (change / data.dt).square().mean(rest).sqrt().double()
    return torch.where(still, 0.0, found)


def spread(found: Tensor) -> float:
    """Largest over smallest of these σ, those that are 0 left out; 1 for fewer than two."""
    moving = found[found > 0]
    return float(moving.max() / moving.min()) if len(moving) > 1 else 1.0


def units_of(data: Series) -> list[float] | None:
    """σ over its geometric mean where some of them are `FAR`, else None; 1 for one that is 0."""
    if data.u.shape[2] < 2:
        return None
    found = sizes(data)
    if spread(found) < FAR:
        return None
    moving = found > 0
    mean = math.exp(float(found[moving].log().mean()))
    return torch.where(moving, found / mean, 1.0).tolist()
