"""Newton's method with a kept linearisation and a Krylov solver, on a preconditioned residual.

    f(x) = −M⁻¹F(x),   (M⁻¹J) δ ≈ f(x),   x ← x + δ,      J ≈ ∂F/∂x from an earlier step

As long as J is good to a per cent, every iteration gains two digits for one evaluation of f, and
mixing the last iterates (`mixing`) gains more. Where J has aged it is renewed at the present
iterate, once or twice; where that does not help either, the iteration stops early and leaves
trajectories unconverged. Shapes: (B, n).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ddg_explorer.solve.mixing import Mixer
from ddg_explorer.solve.progress import Progress, max_norm

SLOW, STUCK = 0.1, 0.4
"""A rate beyond these says that J has aged, and that it does not serve at all."""
MIXED = 5
"""Differences mixed: what J misses are few directions."""
ACCURACY = 3e-3
"""Relative accuracy of the linear solves: beyond it, J is the larger error."""


def chord_krylov(
    update: Callable[[Tensor], Tensor],
    x: Tensor,
    progress: Progress,
    direction: Callable[[Tensor, Tensor], Tensor],
    renew: Callable[[Tensor], None],
    *,
    mixer: Mixer | None = None,
    renewals: int = 2,
    max_iterations: int = 12,
) -> tuple[Tensor, Tensor]:
    """Iterate from the guess `x` until all have converged or J does not serve.

    `update` is f, `direction(f, η)` solves for δ to a relative accuracy η, (B,), and `renew(x)`
    takes J at x, at most `renewals` times. Converged trajectories are frozen. `mixer` says how many
    differences are kept, `MIXED` of them do, and lends their memory.

    Returns x and f(x).
    """
    mixer, mixes = Mixer(MIXED) if mixer is None else mixer, False
    old: tuple[Tensor, Tensor] | None = None
    f = update(x)
    progress.record(max_norm(f))
    for _ in range(max_iterations - 1):
        if not progress.running:
            break
        rate = _rate(progress)
        if rate > SLOW and renewals:
            renew(x)
            renewals -= 1
            mixes, old = False, None
        elif rate > STUCK:
            break
        mask = progress.mask(f)
        right = f if mask is None else torch.where(mask, f, 0.0)
        delta = direction(right, _accuracy(progress, f))
        new = x + delta
        if old is not None:
            if not mixes:
                mixer.begin(x)
            mixes = True
            new = mixer.mix(new, delta, *old)
        old = x + delta, delta
        x = new if mask is None else torch.where(mask, new, x)
        f = update(x)
        progress.record(max_norm(f))
    return x, f


def _rate(progress: Progress) -> float:
    """The worst contraction among trajectories that are not at the floor of rounding."""
    far = progress.active & (progress.size > max(progress.tol, progress.floor))
    return float(progress.rate[far].max()) if far.any() else 0.0


def _accuracy(progress: Progress, like: Tensor) -> Tensor:
    """η: no more than the tolerance needs."""
    need = 0.1 * progress.tol / np.maximum(progress.size, 1e-300)
    return torch.from_numpy(np.clip(need, ACCURACY, 0.1)).to(like)
