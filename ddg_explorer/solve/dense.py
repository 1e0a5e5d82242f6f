"""Newton's method with a dense Jacobian, for many small systems F(v) = 0 at once.

    J δ = −F(v),   v ← v + α δ

J is evaluated rarely: its inverse is kept across iterations and solves (a chord) and corrected by
Broyden's rank-one update after every full step, which makes the convergence superlinear. Shapes:
v and F(v) are (B, n).

Source: C. G. Broyden, Math. Comp. 19 (1965) 577, doi 10.1090/S0025-5718-1965-0198670-6.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.discrete.ordinary import jacobian_of
from ddg_explorer.solve.progress import Progress, Solution, max_norm

Residual = Callable[[Tensor], Tensor]
STALE_RATE = 0.3
"""The Jacobian is renewed where the updates shrink by less than this factor per iteration."""
GOOD_RATE = 3e-3
"""A Jacobian that is cheap to come by is renewed where the first update shrinks by less."""
HALVINGS = 10
FLOOR_EPS = 1e3
"""Growth of max|F| below this many ulps is rounding and halves no step."""
RESOLVED = 1e5
"""Differences below this many ulps are mostly rounding and teach Broyden's update nothing."""


def jacobian(residual: Residual, v: Tensor) -> Tensor:
    """Dense ∂F/∂v, (B, n, n), all rows by one batched backward pass.

    Reverse mode, because torch counts its forward-mode levels per process: two threads that take
    forward derivatives at once disturb each other.
    """
    with torch.enable_grad():
        x = v.detach().requires_grad_()
        y = residual(x)
    return jacobian_of(y, x)


class Chord:
    """The inverse Jacobian of one sequence of similar systems.

    It is kept transposed, A = J⁻ᵀ: rᵀA is a product with rows, which lie together in memory.
    `first_rate` is the first contraction of the solve in which the Jacobian was new.
    """

    def __init__(self) -> None:
        self.transposed: Tensor | None = None
        self.first_rate: float | None = None

    def forget(self) -> None:
        self.transposed = self.first_rate = None

    def age(self, rate: float) -> None:
        """Forget a Jacobian with which a solve contracts much more slowly than when it was new."""
        if self.first_rate is None:
            self.first_rate = rate
        elif rate > max(GOOD_RATE, 3 * self.first_rate):
            self.forget()

    def renew(self, slope: Residual, v: Tensor) -> None:
        """Take the Jacobian at v from `slope`."""
        self.transposed = torch.linalg.inv_ex(slope(v))[0].mT.contiguous()

    def direction(self, slope: Residual, v: Tensor, r: Tensor) -> Tensor:
        """−J⁻¹r."""
        if self.transposed is None or self.transposed.shape[0] != v.shape[0]:
            self.renew(slope, v)
        return self._solve(r).neg_()

    def learn(self, delta: Tensor, change: Tensor, use: Tensor | None) -> None:
        """Broyden's update from F(v + δ) − F(v) = `change`; `use` masks trajectories, (B, 1)."""
        assert self.transposed is not None
        moved = self._solve(change)
        column = self.transposed @ delta.unsqueeze(-1)
        pivot = torch.linalg.vecdot(delta, moved)[:, None]
        safe = pivot > 0.1 * torch.linalg.vecdot(delta, delta)[:, None]
        if use is not None:
            safe = safe & use
        row = (delta - moved).mul_(torch.where(safe, 1 / pivot, 0.0))
        self.transposed.addcmul_(column, row.unsqueeze(-2))

    def _solve(self, r: Tensor) -> Tensor:
        assert self.transposed is not None
        return (r.unsqueeze(-2) @ self.transposed).squeeze(-2)


class _Iterate(NamedTuple):
    """An iterate, F and max|F| there, the size of the full step, and whether any was halved."""

    v: Tensor
    r: Tensor
    size: np.ndarray
    step: Tensor
    halved: bool


def _line_search(
    residual: Residual, old: _Iterate, delta: Tensor, limit: np.ndarray, active: np.ndarray
) -> _Iterate:
    """Full steps, halved where max|F| would exceed `limit`; their size is that of the full one.

    Where no halving makes F finite, no step is taken and its size is infinite.
    """
    v, alpha = old.v + delta, 1.0
    r = residual(v)
    size = max_norm(r).cpu().numpy()
    halved = np.zeros_like(active)
    for _ in range(HALVINGS):
        worse = active & ~(size <= limit)
        if not worse.any():
            break
        alpha, halved = alpha / 2, halved | worse
        mask = torch.from_numpy(worse).to(v.device)[:, None]
        v = torch.where(mask, old.v + alpha * delta, v)
        r = residual(v)
        size = max_norm(r).cpu().numpy()
    step = max_norm(v - old.v)
    if halved.any():
        # what was cut short says nothing about the distance to a solution
        step = torch.where(torch.from_numpy(halved).to(v.device), max_norm(delta), step)
    good = np.isfinite(size)
    if not good.all():
        keep = torch.from_numpy(good).to(v.device)
        v, r = torch.where(keep[:, None], v, old.v), torch.where(keep[:, None], r, old.r)
        step, size = torch.where(keep, step, torch.inf), np.where(good, size, old.size)
    return _Iterate(v, r, size, step, bool(halved.any()))


def newton(
    residual: Residual,
    v: Tensor,
    chord: Chord,
    *,
    scale: Tensor,
    tol: float,
    slope: Residual | None = None,
    max_iterations: int = 30,
    polish: int = 1,
) -> Solution:
    """Solve F(v) = 0 from the guess `v`, (B, n).

    `slope` gives the Jacobian, (B, n, n), at least nearly; without it, it is taken by automatic
    differentiation. `scale`, `tol`, `polish`: see `Progress`. Steps that raise max|F| are halved.
    Converged trajectories are frozen, failed ones stay at their last finite iterate.
    """
    cheap = slope is not None
    slope = slope or partial(jacobian, residual)
    progress = Progress(scale, tol, polish)
    eps = torch.finfo(v.dtype).eps
    r = residual(v)
    now = _Iterate(v, r, max_norm(r).cpu().numpy(), torch.zeros_like(scale), False)
    first_rate = 0.0
    floor = FLOOR_EPS * eps * (now.size + progress.scale)
    for _ in range(max_iterations):
        delta = chord.direction(slope, now.v, now.r)
        mask = progress.mask(v)
        delta = delta if mask is None else torch.where(mask, delta, 0.0)
        old, limit = now, np.maximum(now.size, floor)
        now = _line_search(residual, old, delta, limit, progress.active)
        progress.record(now.step)
        if not progress.running:
            break
        if progress.iterations.max() == 2:
            first_rate = progress.slowest
        slow = progress.slowest > STALE_RATE and progress.iterations.max() > 1
        if now.halved or slow:
            chord.renew(slope, now.v)
        elif progress.size.max() > RESOLVED * eps:
            chord.learn(delta, now.r - old.r, mask)
    if not progress.converged.all():
        chord.forget()
    elif cheap:
        chord.age(first_rate)
    return progress.solution(now.v, max_norm(now.r), "the implicit solve")
