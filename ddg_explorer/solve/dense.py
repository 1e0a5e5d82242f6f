"""Newton's method on F(v) = 0, batched, with a linear solver to choose and a line search.

    J δ = −F(v),   v ← v + α δ

`linear` supplies δ: a factorised dense Jacobian reused while it contracts (`Chord`), or Krylov
iterations with exact Jacobian–vector products. Shapes: v and F(v) are (B, n).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.solve.progress import Progress, Solution, max_norm

Residual = Callable[[Tensor], Tensor]
STALE_RATE = 0.1


class LinearSolver(Protocol):
    """Solves J δ = −r; `refresh(v)` takes J at v, until then it may be older than the iterate."""

    def refresh(self, v: Tensor) -> None: ...

    def solve(self, v: Tensor, r: Tensor) -> Tensor: ...


def jacobian(residual: Residual, v: Tensor) -> Tensor:
    """Dense ∂F/∂v, (B, n, n), by one batched Jacobian–vector product per unknown."""
    n = v.shape[-1]
    basis = torch.eye(n, dtype=v.dtype, device=v.device)

    def column(e: Tensor) -> Tensor:
        return torch.func.jvp(residual, (v,), (e.expand_as(v),))[1]

    return torch.func.vmap(column)(basis).permute(1, 2, 0)


class Chord:
    """A dense Jacobian's inverse, kept across iterations and steps until it stops contracting."""

    def __init__(self, residual: Residual | None = None) -> None:
        self.residual = residual
        self.inverse: Tensor | None = None

    def refresh(self, v: Tensor) -> None:
        if self.residual is None:
            raise ValueError("residual=None: set the residual before refresh(v)")
        self.inverse = torch.linalg.inv_ex(jacobian(self.residual, v))[0]

    def solve(self, v: Tensor, r: Tensor) -> Tensor:
        if self.inverse is None or self.inverse.shape[0] != v.shape[0]:
            self.refresh(v)
        assert self.inverse is not None
        return -(self.inverse @ r.unsqueeze(-1)).squeeze(-1)


def _backtrack(
    residual: Residual, v: Tensor, delta: Tensor, r: Tensor, progress: Progress
) -> tuple[Tensor, Tensor]:
    """Full step where it does not raise max|F| much, halved up to ten times elsewhere."""
    new = v + delta
    r_new = residual(new)
    old_size = max_norm(r)
    floor = STEP_FLOOR * torch.finfo(v.dtype).eps * (1 + max_norm(v))
    alpha = torch.ones_like(old_size)
    for _ in range(10):
        worse = ~(max_norm(r_new) <= torch.maximum(old_size, floor))
        mask = progress.mask(v)
        if mask is not None:
            worse &= mask[:, 0]
        if not bool(worse.any()):
            break
        alpha = torch.where(worse, alpha / 2, alpha)
        new = torch.where(worse[:, None], v + alpha[:, None] * delta, new)
        r_new = residual(new)
    return new, r_new


STEP_FLOOR = 1e3


def newton(
    residual: Residual,
    v: Tensor,
    linear: LinearSolver,
    *,
    scale: Tensor,
    tol: float,
    max_iterations: int = 30,
    polish: int = 1,
    what: str = "Newton's method",
) -> Solution:
    """Solve F(v) = 0 from the guess `v`.

    A trajectory is done when the scaled update max|δ|/scale is ≤ `tol` (see `Progress`), after
    which `polish` more updates are made. The Jacobian is renewed when the updates shrink by less
    than `STALE_RATE` per iteration or the residual would grow. Converged trajectories are frozen.
    """
    progress = Progress(scale, tol, polish)
    r = residual(v)
    for _ in range(max_iterations):
        active = progress.active
        delta = linear.solve(v, r)
        mask = progress.mask(v)
        if mask is not None:
            delta = torch.where(mask, delta, 0.0)
        new, r_new = _backtrack(residual, v, delta, r, progress)
        good = torch.isfinite(r_new).all(-1, keepdim=True)
        step = torch.where(good, new - v, torch.inf) if not bool(good.all()) else new - v
        progress.record(max_norm(step))
        v = torch.where(good, new, v)
        r = torch.where(good, r_new, r)
        if not progress.running:
            break
        slow = active & ~(progress.rate < STALE_RATE) & ~progress.converged
        if bool(np.any(slow & np.isfinite(progress.rate))):
            linear.refresh(v)
    return progress.solution(v, max_norm(r), what)
