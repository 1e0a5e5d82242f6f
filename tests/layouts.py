"""Arrays in the layout of a Dataset, for the tests that read them back from files."""

from __future__ import annotations

import numpy as np

from ddg_explorer.data import Dataset

DT = 0.05


def motion(trajectories: int = 3, frames: int = 6, size: int = 2) -> np.ndarray:
    """Circles of different radii in the phase plane, (trajectory, time, component)."""
    t = DT * np.arange(frames)[None, :, None]
    radius = 1 + np.arange(trajectories)[:, None, None]
    return radius * np.cos(t - np.pi / 2 * np.arange(size))


def wave(trajectories: int = 2, frames: int = 5, shape: tuple[int, ...] = (8,)) -> np.ndarray:
    """(trajectory, time, channel, *grid)."""
    size = (trajectories, frames, 1, *shape)
    return np.random.default_rng(0).normal(size=size)


def same(data: Dataset, u: np.ndarray, dt: float = DT) -> bool:
    return np.array_equal(data.u.numpy(), u) and abs(data.dt - dt) < 1e-12 * dt
