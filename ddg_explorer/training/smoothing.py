"""Smoothing of noisy trajectories before training.

    in time:   min |x − y|² + λ|D³x|²,  λ by generalised cross-validation over all series together
    in space:  x̂(k) ← max(0, 1 − N/P(k)) x̂(k),  P the mean power at k, N that of the noise left

One-step residuals divide noise by Δt; smoothing in time, whose λ the data choose, lowers it before.
On a periodic field the noise that is left is white in space, and a Wiener filter takes out what
rises above the power of the trajectories.

Sources: E. T. Whittaker, Proc. Edinburgh Math. Soc. 41 (1923) 63; P. Craven and G. Wahba, Numer.
Math. 31 (1979) 377, doi 10.1007/BF01404567; N. Wiener, 1949.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.grids import Grid

ORDER = 3
CANDIDATES = torch.logspace(-4, 10, 57, dtype=torch.float64)
"""λ that are tried."""


def smooth(data: Dataset) -> Dataset:
    """The data set with its trajectories smoothed in time and, on a grid, in space.

    Raises
    ------
    ValueError
        For fewer than 6 frames: too few to tell signal from noise.
    """
    if data.frames < 2 * ORDER:
        raise ValueError(f"noise='smooth': {data.frames} frames are too few, needs {2 * ORDER}")
    u, noise = _in_time(data.u.double())
    if data.grid is not None:
        u = _in_space(u, noise, data.grid)
    return replace(data, u=u.to(data.u), recipe={**data.recipe, "smoothed": True})


def _in_time(u: Tensor) -> tuple[Tensor, Tensor]:
    """Smoothed states, and the variance of the noise left in each component or channel."""
    frames = u.shape[1]
    differences = torch.eye(frames, dtype=torch.float64).diff(ORDER, 0)
    stiffness, modes = torch.linalg.eigh(differences.mT @ differences)
    stiffness[:ORDER] = 0.0
    spectrum = torch.einsum("nm,tncx->tmcx", modes, u.flatten(3) if u.ndim > 3 else u[..., None])
    power = spectrum.square().sum((0, 3))
    count = spectrum.shape[0] * spectrum.shape[3]
    gains = 1 / (1 + CANDIDATES[:, None] * stiffness)
    lost = (1 - gains).square() @ power
    freedom = (1 - gains).sum(1, keepdim=True)
    best = (lost / freedom.square()).argmin(0)
    gain = gains[best].mT
    smoothed = torch.einsum("nm,tmcx->tncx", modes, gain[..., None] * spectrum)
    channels = torch.arange(u.shape[2])
    variance = lost[best, channels] / (count * freedom[best, 0])
    return smoothed.reshape(u.shape), variance * gain.square().mean(0)


def _in_space(u: Tensor, noise: Tensor, grid: Grid) -> Tensor:
    spectrum = grid.rfft(u)
    power = spectrum.abs().square().mean((0, 1))
    white = noise.reshape(-1, *[1] * grid.ndim) * grid.size
    return grid.irfft((1 - white / power.clamp_min(1e-300)).clamp_min(0.0) * spectrum)
