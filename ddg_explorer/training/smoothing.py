"""Smoothing of noisy trajectories before training.

    in time:   min |x − y|² + Σ_t |(D³x)_t|² / (20 (s_t + ε))
    in space:  x̂(k) ← max(0, 1 − N/P(k)) x̂(k),  P the mean power at k, N that of the noise left

One-step residuals divide noise by Δt; smoothing in time lowers it before. It is the best estimate
where third differences of the signal are independent, with 20 (s_t + ε) times the variance of the
noise: 20 times it is what white noise has in its own third differences. Fields are smoothed by
wavenumber, since short waves can decay or turn within a few steps while long ones hardly move. For
each band of wavenumbers (component of an ODE) and each channel s_t is measured, by how much the
third differences of all trajectories at time t exceed those of the quietest quarter of times, and
the floor ε is chosen by generalised cross-validation. So a fast start stays as it was observed, and
what follows is smoothed as far as it is smooth.

On a periodic field the noise that is left is taken out where it rises above the power of the
trajectories, by a Wiener filter in space.

Sources: E. T. Whittaker, Proc. Edinburgh Math. Soc. 41 (1923) 63; P. Craven and G. Wahba, Numer.
Math. 31 (1979) 377, doi 10.1007/BF01404567; N. Wiener, 1949.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.grids import Grid

ORDER = 3
GAIN = math.comb(2 * ORDER, ORDER)
"""Variance of third differences of white noise of variance 1."""
FLOORS = torch.logspace(3, -10, 14, dtype=torch.float64)
"""ε that are tried."""
SIGNIFICANT, ENOUGH = 8.0, 100
"""Third differences are the signal's where their mean square over n series exceeds the quiet one by
a share of 8/√n: scatter alone, of share √(2/n), does not get there. Fewer than 100 series cannot
tell; bands of fewer are joined with the next."""
ENDS = 5


def smooth(data: Dataset) -> Dataset:
    """The data set with its trajectories smoothed in time and, on a grid, in space.

    Raises
    ------
    ValueError
        For fewer than 6 frames: too few to tell signal from noise.
    """
    if data.frames < 2 * ORDER:
        raise ValueError(f"noise='smooth': {data.frames} frames are too few, needs {2 * ORDER}")
    u = data.u.double()
    if data.grid is None:
        x = _components(u)
    else:
        y = torch.view_as_real(data.grid.rfft(u).flatten(3)).movedim(-1, 1).flatten(0, 1)
        x, noise = _in_time(y, _bands(data.grid, len(y)))
        power = x.square().mean((0, 1))
        x = (1 - noise / power.clamp_min(1e-300)).clamp_min(0.0) * x
        parts = x.unflatten(0, (len(u), 2)).movedim(1, -1).contiguous()
        x = data.grid.irfft(torch.view_as_complex(parts).unflatten(-1, data.grid.half_shape))
    return replace(data, u=x.to(data.u), recipe={**data.recipe, "smoothed": True})


def _components(u: Tensor) -> Tensor:
    """Smoothed states of an ODE, s = 0 for each component: λ = 1/(20 ε)."""
    steady = _Smoother(u.shape[1])
    spectrum = torch.einsum("nm,tnc->tmc", steady.modes, u)
    gains = 1 / (1 + torch.logspace(-4, 10, 57, dtype=u.dtype)[:, None] * steady.stiffness)
    lost = (1 - gains).square() @ spectrum.square().sum(0)
    best = (lost / (1 - gains).sum(1, keepdim=True).square()).argmin(0)
    return torch.einsum("nm,tmc->tnc", steady.modes, gains[best].mT * spectrum)


def inner(data: Dataset) -> Dataset:
    """Without the first and last frames, of which a smoother knows one side only.

    These keep most of their noise. They are 5 at either end, fewer where there are not 40 frames.
    """
    ends = min(ENDS, data.frames // 8)
    return replace(data, u=data.u[:, ends : data.frames - ends])


def _bands(grid: Grid, series: int) -> Tensor:
    """|k| in steps of the longest wave or coarser, one per entry of a flattened half spectrum."""
    size = torch.stack(torch.broadcast_tensors(*grid.wavenumbers())).square().sum(0)
    steps = (size.sqrt() * max(grid.length) / (2 * math.pi)).round().long().flatten()
    below = torch.bincount(steps).mul_(series).cumsum(0)
    return (below // ENOUGH)[steps]


def _in_time(y: Tensor, bands: Tensor) -> tuple[Tensor, Tensor]:
    """Smoothed series, and the variance of the noise left in each channel and mode.

    `y` is (series, frames, channels, modes).
    """
    smoother = _Smoother(y.shape[1])
    x, noise = torch.empty_like(y), y.new_empty(y.shape[2:])
    for band in bands.unique():
        of_band = bands == band
        for channel in range(y.shape[2]):
            part = y[:, :, channel, of_band]
            matrix, left = smoother.fitted(part.transpose(0, 1).flatten(1))
            x[:, :, channel, of_band] = torch.einsum("fg,sgm->sfm", matrix, part)
            noise[channel, of_band] = left
    return x, noise


class _Smoother:
    """The smoothers of series of so many frames."""

    def __init__(self, frames: int) -> None:
        self.unit = torch.eye(frames, dtype=torch.float64)
        self.differences = self.unit.diff(ORDER, 0)
        self.stiffness, self.modes = torch.linalg.eigh(self.differences.mT @ self.differences)
        self.stiffness[:ORDER] = 0.0

    def fitted(self, series: Tensor) -> tuple[Tensor, float]:
        """The matrix that smooths `series`, (frames, n), and the variance of noise it leaves."""
        frames, n = series.shape
        moments = series @ series.mT / n
        rough = (self.differences @ moments * self.differences).sum(-1)
        quiet = rough.sort().values[: max(1, len(rough) // 4)].mean()
        if not quiet > 0:
            return self.unit, 0.0
        excess = rough / quiet - 1
        seen = excess > (SIGNIFICANT / math.sqrt(n) if n >= ENOUGH else math.inf)
        excess = torch.where(seen, excess, 0.0)
        known = self._steady(moments) if not excess.any() else self._varying(moments, excess)
        matrix, lost, freedom = min(known, key=lambda found: found[1] / found[2] ** 2)
        return matrix, lost / freedom * float(matrix.square().sum()) / frames

    def _steady(self, moments: Tensor) -> Iterator[tuple[Tensor, float, float]]:
        """For s = 0 the smoother of least score, its lost power and degrees of freedom."""
        power = (self.modes.mT @ moments * self.modes.mT).sum(-1)
        gains = 1 / (1 + self.stiffness / (GAIN * FLOORS[:, None]))
        lost, freedom = (1 - gains).square() @ power, (1 - gains).sum(1)
        best = int((lost / freedom.square()).argmin())
        yield self.modes * gains[best] @ self.modes.mT, float(lost[best]), float(freedom[best])

    def _varying(self, moments: Tensor, excess: Tensor) -> Iterator[tuple[Tensor, float, float]]:
        """The smoother of every ε, its lost power and degrees of freedom."""
        for floor in FLOORS:
            weighted = self.differences / (GAIN * (excess + floor))[:, None]
            factor = torch.linalg.cholesky(self.unit + self.differences.mT @ weighted)
            matrix = torch.cholesky_inverse(factor)
            rest = self.unit - matrix
            lost = (rest @ moments * rest).sum()
            yield matrix, float(lost), float(rest.diagonal().sum())
