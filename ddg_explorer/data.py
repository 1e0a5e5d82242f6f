"""Training data: trajectories at a fixed Δt, and the one-step pairs taken from them.

    pairs (uₙ, uₙ₊₁),   (v − u)/Δt is what a model learns

States are `(trajectories, frames, *state_shape)`, nondimensional. A data set knows the grid and the
system it came from, so that a model trained on it knows where it applies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ddg_explorer.grids import Grid


@dataclass(frozen=True)
class Dataset:
    """Trajectories u(tₙ), tₙ = nΔt.

    Attributes
    ----------
    u
        `(trajectories, frames, *state_shape)`, float64, at least 2 frames.
    dt
        Δt (nondimensional).
    grid
        The periodic grid of a field, None for an ODE.
    context
        `{"system": name, "parameters": {…}}` where known; what `Model.misfit` compares.
    recipe
        How the data were made or where they were read, for a model's card.
    """

    u: Tensor
    dt: float
    grid: Grid | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        d = 1 if self.grid is None else 1 + self.grid.ndim
        if self.u.ndim != 2 + d:
            kind = "(trajectories, frames, d)" if d == 1 else "(trajectories, frames, C, *grid)"
            raise ValueError(f"u has shape {tuple(self.u.shape)}: needs {kind}")
        if self.grid is not None and tuple(self.u.shape[3:]) != self.grid.shape:
            raise ValueError(f"u has grid {tuple(self.u.shape[3:])}: needs {self.grid.shape}")
        if self.u.shape[0] < 1 or self.u.shape[1] < 2:
            raise ValueError(f"u has shape {tuple(self.u.shape)}: needs 2 frames or more")
        if not bool(torch.isfinite(self.u).all()):
            raise ValueError("u: has values that are not finite (NaN or infinity)")
        if not self.dt > 0:
            raise ValueError(f"dt={self.dt}: must be positive")

    @property
    def state_shape(self) -> tuple[int, ...]:
        return tuple(self.u.shape[2:])

    @property
    def trajectories(self) -> int:
        return self.u.shape[0]

    @property
    def frames(self) -> int:
        return self.u.shape[1]

    def select(self, rows: Tensor | slice) -> Dataset:
        """The data set of some of the trajectories."""
        return replace(self, u=self.u[rows])

    def split(self, held_out: int, seed: int) -> tuple[Dataset, Dataset]:
        """All but `held_out` trajectories, and those: drawn without replacement by `seed`."""
        if not 0 < held_out < self.trajectories:
            raise ValueError(f"held_out={held_out}: must lie in [1, {self.trajectories - 1}]")
        order = torch.randperm(self.trajectories, generator=torch.Generator().manual_seed(seed))
        return self.select(order[held_out:]), self.select(order[:held_out])

    def pairs(self) -> tuple[Tensor, Tensor]:
        """All one-step pairs (u, v), each `(trajectories · (frames − 1), *state_shape)`."""
        return self.u[:, :-1].flatten(0, 1), self.u[:, 1:].flatten(0, 1)

    def with_noise(self, level: float, seed: int) -> Dataset:
        """Add N(0, (level · RMS)²) to every value; RMS of each channel over the whole set."""
        if level < 0:
            raise ValueError(f"level={level}: must not be negative")
        axes = [0, 1, *range(3, self.u.ndim)]
        rms = self.u.square().mean(axes, keepdim=True).sqrt()
        noise = torch.randn(
            self.u.shape, generator=torch.Generator().manual_seed(seed), dtype=self.u.dtype
        )
        recipe = {**self.recipe, "noise": level, "noise_seed": seed}
        return replace(self, u=self.u + level * rms * noise, recipe=recipe)

    def digest(self) -> str:
        """SHA-256 of the states and Δt, first 16 hexadecimal digits."""
        content = hashlib.sha256(self.u.contiguous().numpy().tobytes())
        content.update(repr((self.dt, self.state_shape)).encode())
        return content.hexdigest()[:16]
