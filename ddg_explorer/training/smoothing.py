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
what follows is smoothed as far as it is smooth. Fewer than 100 series cannot tell s_t: it is zero
then, which is Whittaker's smoother with λ = 1/(20 ε).

On a periodic field the noise that is left is taken out where it rises above the power of the
trajectories, by a Wiener filter in space.

On one machine and number of threads the result depends on the values alone, bit by bit, not on
where or in which order they lie in memory: a training that resumes smooths its data again.

Sources: E. T. Whittaker, Proc. Edinburgh Math. Soc. 41 (1923) 63; P. Craven and G. Wahba, Numer.
Math. 31 (1979) 377, doi 10.1007/BF01404567; N. Wiener, 1949.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ddg_explorer.data import Dataset
from ddg_explorer.grids import Grid

ORDER = 3
GAIN = math.comb(2 * ORDER, ORDER)
"""Variance of third differences of white noise of variance 1."""
FLOORS = 1 / (GAIN * torch.logspace(-4, 10, 57, dtype=torch.float64))
"""ε that are tried, a quarter of a decade apart."""
COARSE = 4
"""With s ≠ 0 an ε costs a factorisation: every fourth is tried, then those next to the best."""
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
    u = data.u.double().contiguous()
    if data.grid is None:
        x = _in_time(u.unsqueeze(2), torch.arange(u.shape[-1]))[0].squeeze(2)
    else:
        y = torch.view_as_real(data.grid.rfft(u).flatten(3)).movedim(-1, 1).flatten(0, 1)
        x, noise = _in_time(y, _bands(data.grid, len(y)))
        power = x.square().mean((0, 1))
        x = (1 - noise / power.clamp_min(1e-300)).clamp_min(0.0) * x
        parts = x.unflatten(0, (len(u), 2)).movedim(1, -1).contiguous()
        x = data.grid.irfft(torch.view_as_complex(parts).unflatten(-1, data.grid.half_shape))
    return replace(data, u=x.to(data.u), recipe={**data.recipe, "smoothed": True})


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


@dataclass(frozen=True)
class _Found:
    """The smoother with one of `FLOORS`, the power it takes out and its degrees of freedom."""

    matrix: Tensor
    lost: float
    freedom: float
    floor: int

    @property
    def score(self) -> float:
        """Of generalised cross-validation, the least is best."""
        return self.lost / self.freedom**2

    @property
    def left(self) -> float:
        """Variance of the noise that it leaves."""
        frames = len(self.matrix)
        return self.lost / self.freedom * float(self.matrix.square().sum()) / frames


class _Smoother:
    """The smoothers of series of so many frames."""

    def __init__(self, frames: int) -> None:
        self.unit = torch.eye(frames, dtype=torch.float64)
        self.differences = self.unit.diff(ORDER, 0)
        self.stiffness, self.modes = torch.linalg.eigh(self.differences.mT @ self.differences)
        self.stiffness[:ORDER] = 0.0

    def fitted(self, series: Tensor) -> tuple[Tensor, float]:
        """The matrix that smooths `series`, (frames, n), and the variance of noise it leaves."""
        n = series.shape[1]
        moments = series @ series.mT / n
        rough = (self.differences @ moments * self.differences).sum(-1)
        quiet = rough.sort().values[: max(1, len(rough) // 4)].mean()
        if not quiet > 0:
            return self.unit, 0.0
        excess = rough / quiet - 1
        seen = excess > (SIGNIFICANT / math.sqrt(n) if n >= ENOUGH else math.inf)
        excess = torch.where(seen, excess, 0.0)
        found = self._varying(moments, excess) if excess.any() else self._steady(moments)
        return found.matrix, found.left

    def _steady(self, moments: Tensor) -> _Found:
        """The best for s = 0."""
        power = (self.modes.mT @ moments * self.modes.mT).sum(-1)
        gains = 1 / (1 + self.stiffness / (GAIN * FLOORS[:, None]))
        lost, freedom = (1 - gains).square() @ power, (1 - gains).sum(1)
        best = int((lost / freedom.square()).argmin())
        matrix = self.modes * gains[best] @ self.modes.mT
        return _Found(matrix, float(lost[best]), float(freedom[best]), best)

    def _varying(self, moments: Tensor, excess: Tensor) -> _Found:
        """The best for s = `excess`."""

        def best(floors: range) -> _Found:
            found = (self._weighted(moments, excess, floor) for floor in floors)
            return min(found, key=lambda one: one.score)

        count = len(FLOORS)
        near = best(range(0, count, COARSE)).floor
        return best(range(max(0, near - COARSE + 1), min(count, near + COARSE)))

    def _weighted(self, moments: Tensor, excess: Tensor, floor: int) -> _Found:
        weighted = self.differences / (GAIN * (excess + FLOORS[floor]))[:, None]
        factor = torch.linalg.cholesky(self.unit + self.differences.mT @ weighted)
        matrix = torch.cholesky_inverse(factor)
        rest = self.unit - matrix
        lost = (rest @ moments * rest).sum()
        return _Found(matrix, float(lost), float(rest.diagonal().sum()), floor)
