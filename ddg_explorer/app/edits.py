"""Gestures on a running field, as small immutable edits that every lane applies alike.

    disk      u ← u + w (value − u),  w = ½(1 − tanh((r − R)/Δx)), r the periodic distance
    soliton   u ← u + a sech²(k (x − x₀)),  k² = −aα/(12β)                         (KdV)
    bump      u ← u + a exp(−½((x − x₀)/s)²),  s = L/30                     (other 1-D fields)
    curve     u ← the line through the drawn points, where they cover the axis

Fields `(C, *grid)`, the first channel is edited; everything nondimensional.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.systems.builtin import PresetSystem

BUMP = 1 / 30
"""Standard deviation of a bump, relative to the period."""
LARGEST = 1e3
"""Largest |value| that can be painted or drawn."""
MOST_POINTS = 2000
"""Places of one edit."""


@dataclass(frozen=True)
class Edit:
    """One gesture: `kind` is "disk", "add" or "curve".

    Attributes
    ----------
    points
        Places in the order they were touched: (x, y) of a field in two dimensions, else (x, value).
    value, radius
        Of the brush.
    joined
        Whether it goes on with the stroke before it: both are taken back at once.
    """

    kind: str
    points: tuple[tuple[float, float], ...]
    value: float = 1.0
    radius: float = 0.05
    joined: bool = False

    def __post_init__(self) -> None:
        numbers = [self.value, self.radius, *(c for point in self.points for c in point)]
        if not self.points or not all(math.isfinite(x) for x in numbers):
            raise ValueError("edit: needs points, all of them finite numbers")
        if len(self.points) > MOST_POINTS:
            raise ValueError(f"edit: at most {MOST_POINTS} points, got {len(self.points)}")
        if max(abs(x) for x in numbers) > LARGEST:
            raise ValueError(f"edit: no number may be larger than {LARGEST:g}")

    def continues(self, other: Edit) -> bool:
        """Whether both are one stroke of one brush, to be applied together."""
        same = (self.kind, self.value, self.radius) == (other.kind, other.value, other.radius)
        return self.joined and same and len(self.points) + len(other.points) <= MOST_POINTS


def apply(edit: Edit, u: Tensor, system: PresetSystem) -> Tensor:
    """The edited state, a new tensor; ValueError where the gesture does not suit the system."""
    grid = system.grid
    if grid is None or (edit.kind == "disk") != (grid.ndim == 2):
        raise ValueError(f"edit: {system.title} cannot be edited so")
    if edit.kind == "disk":
        first = _paint(u[0], edit, system)
    elif edit.kind == "add":
        first = _add(u[0], edit, system)
    elif edit.kind == "curve":
        first = _draw(u[0], edit, system)
    else:
        raise ValueError(f"edit={edit.kind!r}: use disk, add or curve")
    return torch.cat([first[None].to(u), u[1:]])


def _offsets(system: PresetSystem, axis: int, place: float) -> Tensor:
    """Signed periodic distances of the grid points from a place along one axis."""
    assert system.grid is not None
    length = system.grid.length[axis]
    x = torch.arange(system.grid.shape[axis], dtype=torch.float64) * system.grid.spacing[axis]
    return torch.remainder(x - place + length / 2, length) - length / 2


def _paint(u: Tensor, edit: Edit, system: PresetSystem) -> Tensor:
    assert system.grid is not None
    edge = max(system.grid.spacing)
    inside = torch.zeros(u.shape, dtype=torch.float64)
    for x, y in edit.points:
        r = torch.hypot(_offsets(system, 0, x)[:, None], _offsets(system, 1, y)[None])
        inside = torch.maximum(inside, (1 - torch.tanh((r - edit.radius) / edge)) / 2)
    return u + inside.to(u) * (edit.value - u)


def _add(u: Tensor, edit: Edit, system: PresetSystem) -> Tensor:
    ((x, height),) = edit.points[:1]
    offset = _offsets(system, 0, x)
    if system.name != "kdv":
        spread = BUMP * system.grid.length[0] if system.grid else 1.0
        return u + (height * torch.exp(-((offset / spread) ** 2) / 2)).to(u)
    alpha, beta = system.values["alpha"], system.values["beta"]
    square = -height * alpha / (12 * beta) if beta else 0.0
    if square <= 0:
        wanted = "upwards" if alpha * beta < 0 else "downwards"
        raise ValueError(f"edit: with these α and β solitons point {wanted}")
    return u + (height / torch.cosh(math.sqrt(square) * offset) ** 2).to(u)


def _draw(u: Tensor, edit: Edit, system: PresetSystem) -> Tensor:
    assert system.grid is not None
    x = np.arange(system.grid.shape[0]) * system.grid.spacing[0]
    covered, values = _line(edit.points, x)
    out = u.clone()
    out[torch.from_numpy(covered)] = torch.from_numpy(values[covered]).to(u)
    return out


def _line(points: Sequence[tuple[float, float]], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which grid points the drawn line passes, and its values there; later strokes win."""
    covered, values = np.zeros(len(x), bool), np.zeros(len(x))
    for (x0, y0), (x1, y1) in pairwise(points):
        low, high = min(x0, x1), max(x0, x1)
        here = (x >= low) & (x <= high)
        share = (x[here] - x0) / (x1 - x0) if x1 != x0 else np.zeros(here.sum())
        values[here], covered = y0 + share * (y1 - y0), covered | here
    return covered, values
