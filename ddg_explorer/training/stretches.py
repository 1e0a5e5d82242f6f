"""Stretches of noisy trajectories, and how much noise there is on them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ddg_explorer.data import Dataset

ORDER = 6
"""Order of the differences in time that hold the noise and hardly anything of a smooth state."""
SHORTEST = 4
"""Steps of a stretch, at least."""


def noise_level(data: Dataset) -> Tensor:
    """Standard deviation of independent noise on every component, `(d,)`, from differences in time.

    An upper bound where the trajectories are not smooth over a few frames.
    """
    order = min(ORDER, data.frames - 1)
    differences = data.u.diff(order, 1)
    return (differences.square().mean((0, 1)) / math.comb(2 * order, order)).sqrt()


@dataclass(frozen=True)
class Stretches:
    """Where the stretches of all trajectories lie: `(stretches,)` and `(stretches, frames)`."""

    trajectory: Tensor
    frame: Tensor

    @classmethod
    def cut(cls, trajectories: int, steps: int, parts: int) -> Stretches:
        """`parts` of a trajectory each, fewer where they would be shorter than `SHORTEST`."""
        parts = max(1, min(parts, steps // SHORTEST))
        length = -(-steps // parts)
        first = torch.linspace(0, steps - length, parts).round().long()
        frame = first[:, None] + torch.arange(length + 1)
        return cls(
            torch.arange(trajectories).repeat_interleave(parts), frame.repeat(trajectories, 1)
        )

    def of(self, u: Tensor) -> Tensor:
        """Values of `u` `(trajectories, frames, d)` on the stretches."""
        return u[self.trajectory[:, None], self.frame]
