"""Newton's method with a dense Jacobian, for many small systems F(v) = 0 at once.

    J δ = −F(v),   v ← v + α δ

J is evaluated rarely: its inverse is kept across iterations and solves (a chord) and corrected by
Broyden's rank-one update after every full step, which makes the convergence superlinear. Shapes:
v and F(v) are (B, n).

Source: C. G. Broyden, Math. Comp. 19 (1965) 577, doi 10.1090/S0025-5718-1965-0198670-6.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.solve.progress import Progress, Solution, max_norm

Residual = Callable[[Tensor], Tensor]
STALE_RATE = 0.3
"""The Jacobian is renewed where the updates shrink by less than this factor per iteration."""
HALVINGS = 10
RESOLVED = 1e5
"""Differences below this many ulps are mostly rounding and teach Broyden's update nothing."""


def jacobian(residual: Residual, v: Tensor) -> Tensor:
    """Dense ∂F/∂v, (B, n, n), by one batched Jacobian–vector product per unknown."""
    n = v.shape[-1]
    basis = torch.eye(n, dtype=v.dtype, device=v.device)

    def column(e: Tensor) -> Tensor:
        return torch.func.jvp(residual, (v,), (e.expand_as(v),))[1]

    return torch.func.vmap(column)(basis).permute(1, 2, 0)


class Chord:
    """The inverse Jacobian of one sequence of similar systems."""

    def __init__(self) -> None:
        self.inverse: Tensor | None = None

    def forget(self) -> None:
        self.inverse = None

    def renew(self, residual: Residual, v: Tensor) -> None:
        """Take the exact Jacobian at v."""
        self.inverse = torch.linalg.inv_ex(jacobian(residual, v))[0]

    def direction(self, residual: Residual, v: Tensor, r: Tensor) -> Tensor:
        """−J⁻¹r."""
        if self.inverse is None or self.inverse.shape[0] != v.shape[0]:
            self.renew(residual, v)
        assert self.inverse is not None
        return (self.inverse @ r.unsqueeze(-1)).squeeze(-1).neg_()

    def learn(self, delta: Tensor, change: Tensor, use: Tensor | None) -> None:
        """Broyden's update from F(v + δ) − F(v) = `change`; `use` masks trajectories, (B,)."""
        assert self.inverse is not None
        moved = self.inverse @ change.unsqueeze(-1)
        row = delta.unsqueeze(-2) @ self.inverse
        pivot = delta.unsqueeze(-2) @ moved
        size = torch.linalg.vecdot(delta, delta)[:, None, None]
        safe = pivot > 0.1 * size
        if use is not None:
            safe = safe & use[:, None, None]
        factor = torch.where(safe, 1 / pivot, 0.0)
        self.inverse = self.inverse + (delta.unsqueeze(-1) - moved) * factor @ row


def _line_search(
    residual: Residual, v: Tensor, delta: Tensor, limit: np.ndarray, active: np.ndarray
) -> tuple[Tensor, Tensor, np.ndarray, bool]:
    """Full steps, halved where max|F| would exceed `limit`: v, F, max|F| and whether any was."""
    new = v + delta
    r = residual(new)
    size = max_norm(r).cpu().numpy()
    halved = False
    alpha = 1.0
    for _ in range(HALVINGS):
        worse = active & ~(size <= limit)
        if not worse.any():
            break
        halved, alpha = True, alpha / 2
        mask = torch.from_numpy(worse).to(v.device)[:, None]
        new = torch.where(mask, v + alpha * delta, new)
        r = residual(new)
        size = max_norm(r).cpu().numpy()
    return new, r, size, halved


def newton(
    residual: Residual,
    v: Tensor,
    chord: Chord,
    *,
    scale: Tensor,
    tol: float,
    max_iterations: int = 30,
    polish: int = 1,
) -> Solution:
    """Solve F(v) = 0 from the guess `v`, (B, n).

    A trajectory is done when its update max|δ|/scale is ≤ `tol` (see `Progress`) and `polish` more
    are made. Steps that raise max|F| are halved. Converged trajectories are frozen, failed ones
    stay at their last finite iterate.
    """
    progress = Progress(scale, tol, polish)
    eps = torch.finfo(v.dtype).eps
    r = residual(v)
    size = max_norm(r).cpu().numpy()
    floor = 1e3 * eps * (size + progress.scale)
    for _ in range(max_iterations):
        delta = chord.direction(residual, v, r)
        mask = progress.mask(v)
        if mask is not None:
            delta = torch.where(mask, delta, 0.0)
        limit = np.maximum(size, floor)
        new, r_new, size_new, halved = _line_search(residual, v, delta, limit, progress.active)
        bad = ~np.isfinite(size_new)
        if bad.any():
            keep = torch.from_numpy(~bad).to(v.device)[:, None]
            new, r_new = torch.where(keep, new, v), torch.where(keep, r_new, r)
            delta = torch.where(keep, delta, torch.inf)
            size_new = np.where(bad, size, size_new)
        progress.record(max_norm(delta if bad.any() else new - v))
        before, v, r, size = r, new, r_new, size_new
        if not progress.running:
            break
        if (halved or progress.slowest > STALE_RATE) and progress.iterations.max() > 1:
            chord.renew(residual, v)
        elif progress.size.max() > RESOLVED * eps:
            use = None if mask is None else mask[:, 0]
            chord.learn(delta, r - before, use)
    if not progress.converged.all():
        chord.forget()
    return progress.solution(v, max_norm(r), "the implicit solve")
