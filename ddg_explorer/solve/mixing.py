"""Anderson-accelerated fixed points, batched, one small least-squares problem per trajectory.

    x ← g(x) − Σⱼ θⱼ Δgⱼ,   θ = argmin ‖f − Σⱼ θⱼ Δfⱼ‖,   f = g(x) − x

with the last `depth` differences Δg, Δf. With g(x) = x − M⁻¹F(x) this solves F(x) = 0 without a
Jacobian, about as fast as GMRES with the preconditioner M. Where the plain iteration contracts
fast, it is taken as it is: mixing would cost more than it saves.

Shapes: x and g(x) are (B, …).

Source: D. G. Anderson, J. ACM 12 (1965) 547, doi 10.1145/321296.321305; H. F. Walker and P. Ni,
SIAM J. Numer. Anal. 49 (2011) 1715, doi 10.1137/10078356X.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.solve.progress import Progress, max_norm, rows

DEPTH = 12
"""Differences kept where it is not said."""
LARGE = 1 << 13
"""Unknowns from which on differences are kept in float32."""
FAST_RATE = 0.25
TRIAL = 8
"""Iterations after which the speed is judged against `patience`."""


class Mixer:
    """The last differences of one solve; their small Gram matrices live on the host.

    One that serves solve after solve keeps its memory, which is large, between them. Of large
    states the differences are float32: reading them is most of the work, and their rounding changes
    the next iterate by 1e-7 of its correction.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.count = 0
        self.dg = self.df = torch.empty(0)

    def begin(self, x: Tensor) -> None:
        """Forget all differences; the next ones are of iterates like x."""
        shape = (x.shape[0], self.depth, x[0].numel())
        dtype = torch.float32 if shape[-1] >= LARGE else x.dtype
        if self.dg.shape != shape or self.dg.dtype != dtype or self.dg.device != x.device:
            self.dg, self.df = (x.new_empty(shape, dtype=dtype) for _ in range(2))
        self.count = 0
        self.gram = np.zeros((x.shape[0], self.depth, self.depth))
        self.ridge = 10 * torch.finfo(dtype).eps

    def mix(self, g: Tensor, f: Tensor, g_old: Tensor, f_old: Tensor) -> Tensor:
        """The accelerated iterate after g(x), f from x and the iterate before it."""
        slot, shape = self.count % self.depth, g.shape
        g, f = g.flatten(1), f.flatten(1)
        torch.sub(g, g_old.flatten(1), out=self.dg[:, slot])
        newest = torch.sub(f, f_old.flatten(1), out=self.df[:, slot])
        self.count += 1
        k = min(self.count, self.depth)
        df, dg = self.df[:, :k], self.dg[:, :k]
        columns = (x.to(df.dtype).unsqueeze(-1) for x in (newest, f))
        host = torch.cat([df @ column for column in columns], -1).cpu().double().numpy()
        self.gram[:, slot, :k] = self.gram[:, :k, slot] = host[..., 0]
        theta = torch.from_numpy(self._solve(k, host[..., 1])).to(dg)
        return (g - (theta.unsqueeze(1) @ dg)[:, 0]).view(shape)

    @np.errstate(all="ignore")
    def _solve(self, k: int, rhs: np.ndarray) -> np.ndarray:
        """Least squares by the normal equations, scaled: the differences span decades."""
        gram = self.gram[:, :k, :k]
        diagonal = np.einsum("bii->bi", gram)
        s = np.where(diagonal > 0, diagonal**-0.5, 0.0)
        scaled = gram * s[:, :, None] * s[:, None, :]
        index = np.arange(k)
        scaled[:, index, index] += self.ridge + (diagonal <= 0)
        usable = np.isfinite(scaled).all((1, 2))
        if not usable.all():
            scaled[~usable] = np.eye(k)
        return np.linalg.solve(scaled, (rhs * s)[..., None])[..., 0] * s


class _Best:
    """The iterate of smallest f of every trajectory."""

    def __init__(self, x: Tensor) -> None:
        self.x = self.f = x
        self.size: np.ndarray | None = None

    def take(self, x: Tensor, f: Tensor, size: np.ndarray) -> None:
        if self.size is None:
            self.x, self.f, self.size = x, f, size.copy()
            return
        better = size < self.size
        if better.all():
            self.x, self.f, self.size = x, f, size.copy()
        elif better.any():
            mask = rows(better, x)
            self.x, self.f = torch.where(mask, x, self.x), torch.where(mask, f, self.f)
            self.size = np.where(better, size, self.size)


def _too_slow(progress: Progress, first: float, count: int, patience: int | None) -> bool:
    """Whether at the mean speed so far the tolerance is further than `patience` iterations."""
    if patience is None or count < TRIAL:
        return False
    last = float(progress.size[progress.active].max())
    if not 0 < last < first:
        return True
    return math.log(last / progress.tol) / math.log(first / last) * (count - 1) > patience - count


def anderson(
    fixed_map: Callable[[Tensor], Tensor],
    x: Tensor,
    progress: Progress,
    *,
    mixer: Mixer | None = None,
    max_iterations: int = 100,
    patience: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Solve x = g(x) from the guess `x`, shape (B, …).

    `progress` carries scale, tolerance and polishing, and tells afterwards what converged; where it
    knows that the plain iteration contracts fast, f is not looked at in between. `mixer` says how
    many differences are kept, and lends their memory. With `patience` the iteration stops early,
    trajectories left active, where its speed says that it would take more iterations than that.

    Returns x and f = g(x) − x there: converged trajectories frozen at the iterate that met the
    tolerance, the others at their iterate of smallest f.
    """
    mixer = Mixer(DEPTH) if mixer is None else mixer
    g_old = f_old = None
    mixes = False
    best, first, count = _Best(x), math.inf, 0
    while count < max_iterations:
        leap = min(progress.leap(), max_iterations - count - 1)
        for _ in range(leap):
            x = fixed_map(x)
        g = fixed_map(x)
        f = g - x
        count += 1 + leap
        if not progress.record(max_norm(f), leap):
            x = best.x + best.f
            continue
        best.take(x, f, progress.size)
        first = float(progress.size.max()) if count == 1 else first
        if not progress.running or _too_slow(progress, first, count, patience):
            break
        x = g
        if g_old is not None and f_old is not None and (mixes or progress.slowest > FAST_RATE):
            if not mixes:
                mixer.begin(x)
            mixes = progress.accelerated = True
            x = mixer.mix(g, f, g_old, f_old)
        g_old, f_old = g, f
    return best.x, best.f
