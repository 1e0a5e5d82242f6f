"""Inexact Newton on a preconditioned residual, batched, with a line search.

    f(x) = g(x) − x = −M⁻¹F(x),   (1 − g′(x)) δ = f(x) to a relative accuracy η,   x ← x + α δ

f is measured in the units of x, so max|f| is the size of the update a converged preconditioner
would make, and η follows Eisenstat and Walker (SIAM J. Sci. Comput. 17 (1996) 16, choice 2,
doi 10.1137/0917003). Shapes: (B, n).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.solve.progress import Progress, max_norm

FORCING = 0.1
HALVINGS = 12
OVERSHOOT = 0.5

Direction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x, f, η) → δ; a trajectory with f = 0 gets δ = 0."""
Slope = Callable[[Tensor, Tensor], Tensor]
"""(f(x), δ) → derivative along δ of the functional that the solution minimises, (B,)."""


def _forcing(progress: Progress, previous: Tensor, like: Tensor) -> Tensor:
    """η: tight enough for quadratic convergence, never beyond the tolerance's need."""
    rate = np.where(np.isfinite(progress.rate), progress.rate, 1.0)
    eta = np.minimum(FORCING, 0.9 * rate**2)
    need = 0.3 * progress.tol / np.maximum(progress.size, 1e-300)
    eta = np.clip(np.maximum(eta, need), 1e-8, FORCING)
    safe = torch.from_numpy(eta).to(like)
    return torch.minimum(safe, previous * 2).clamp_min(1e-8)


def newton_krylov(
    fixed_map: Callable[[Tensor], Tensor],
    x: Tensor,
    progress: Progress,
    direction: Direction,
    *,
    slope: Slope | None = None,
    max_iterations: int = 25,
) -> tuple[Tensor, Tensor]:
    """Solve f(x) = 0 from the guess `x`; only trajectories active in `progress` move.

    A step is taken in full where it makes ‖f‖ smaller. Elsewhere it is halved until it does, or,
    where the equation is the stationarity of a functional (`slope` given), until the functional's
    derivative along δ no longer says that the minimum was overshot. Where neither happens the
    trajectory is left as it is, unconverged.

    Returns x and f(x).
    """
    f = fixed_map(x) - x
    eta = torch.full_like(f[:, 0], FORCING)
    for _ in range(max_iterations):
        progress.record(max_norm(f))
        if not progress.running:
            break
        eta = _forcing(progress, eta, f)
        mask = progress.mask(f)
        right = f if mask is None else torch.where(mask, f, 0.0)
        delta = direction(x, right, eta)
        x, f, stuck = _search(fixed_map, x, f, delta, progress, slope)
        if stuck.any():
            progress.give_up(stuck)
    return x, f


def _search(
    fixed_map: Callable[[Tensor], Tensor],
    x: Tensor,
    f: Tensor,
    delta: Tensor,
    progress: Progress,
    slope: Slope | None,
) -> tuple[Tensor, Tensor, np.ndarray]:
    """x + α δ, f there, and which active trajectories found no acceptable α."""
    mask = progress.mask(f)
    active = torch.ones_like(f[:, 0], dtype=torch.bool) if mask is None else mask[:, 0]
    size = torch.linalg.vector_norm(f, dim=-1)
    start = None if slope is None else slope(f, delta)
    if start is not None:
        # the functional must fall along δ
        delta = torch.where((start > 0)[:, None], -delta, delta)
        start = start.abs()
    alpha = torch.ones_like(size)
    new, f_new = x + delta, f
    pending = active
    for _ in range(HALVINGS):
        f_new = fixed_map(new) - new
        good = torch.linalg.vector_norm(f_new, dim=-1) < size
        if slope is not None and start is not None and not bool((good | ~pending).all()):
            good = good | (slope(f_new, delta) <= OVERSHOOT * start)
        pending = pending & ~good
        if not bool(pending.any()):
            break
        alpha = torch.where(pending, alpha / 2, alpha)
        new = torch.where(pending[:, None], x + alpha[:, None] * delta, new)
    keep = (active & ~pending)[:, None]
    # at the rounding floor no step makes f smaller: the bookkeeping sees the stall
    floor = size <= progress.floor * (1 + max_norm(x)) * f.shape[1] ** 0.5
    stuck = pending & ~floor
    return torch.where(keep, new, x), torch.where(keep, f_new, f), stuck.cpu().numpy()
