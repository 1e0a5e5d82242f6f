"""Per-trajectory bookkeeping of an iterative solve, and the result it ends in.

Iterates have shape (B, n): B trajectories of n unknowns each. The stop decision needs one number per
trajectory on the host, so the bookkeeping is numpy and costs one transfer per iteration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

STALL_EPS = 100.0
"""An update that no longer shrinks counts as the rounding floor below this many ulps."""
DIVERGED = 1e8


@dataclass(frozen=True, slots=True)
class Solution:
    """What a solve returns: (B, n) values and one entry per trajectory of everything else.

    Attributes
    ----------
    value
        The last iterate, or the last finite one where the solve failed.
    residual
        max|F(value)|, evaluated at `value` itself.
    iterations
        Iterations until this trajectory converged or was given up.
    converged
        True where the update fell below the tolerance or to the rounding floor.
    reason
        "" if all converged, else one readable line.
    """

    value: Tensor
    residual: Tensor
    iterations: Tensor
    converged: Tensor
    reason: str = ""


def max_norm(x: Tensor) -> Tensor:
    """max|x| per trajectory, shape (B,)."""
    return torch.linalg.vector_norm(x, float("inf"), dim=-1)


class Progress:
    """Which trajectories still iterate, which converged, and why the others stopped.

    `record(size)` takes the scaled size of the last update of every trajectory. A trajectory is
    done when its size is ≤ `tol`, or when it stopped shrinking within `STALL_EPS` ulps (the
    rounding floor); `polish` further iterations follow. It is given up when its size is not finite
    or exceeds `DIVERGED`.
    """

    def __init__(self, batch: int, dtype: torch.dtype, tol: float, polish: int = 0) -> None:
        self.tol = tol
        self.floor = STALL_EPS * torch.finfo(dtype).eps
        self.polish = polish
        self.active = np.ones(batch, dtype=bool)
        self.converged = np.zeros(batch, dtype=bool)
        self.iterations = np.zeros(batch, dtype=np.int64)
        self.last = np.full(batch, np.inf)
        self.rate = np.full(batch, np.inf)
        self._extra = np.full(batch, polish)

    def record(self, size: Tensor) -> None:
        """Take in one iteration's scaled update sizes; frozen trajectories are ignored."""
        now = size.detach().cpu().numpy()
        active = self.active
        self.iterations += active
        with np.errstate(all="ignore"):
            rate = now / self.last
        stalled = (rate > 0.5) & (now <= self.floor)
        met = active & ((now <= self.tol) | stalled | self.converged)
        ended = met & ((self._extra <= 0) | stalled | (now == 0))
        self._extra[met] -= 1
        self.converged |= met
        with np.errstate(invalid="ignore"):
            lost = active & ~(now <= DIVERGED)
        self.rate = np.where(active, rate, self.rate)
        self.last = np.where(active, now, self.last)
        self.active = active & ~ended & ~lost
        self.lost = lost

    @property
    def running(self) -> bool:
        return bool(self.active.any())

    def mask(self, which: np.ndarray, like: Tensor) -> Tensor:
        """A host mask as a (B, 1) tensor beside `like`."""
        return torch.from_numpy(which).to(like.device)[:, None]

    def solution(self, value: Tensor, residual: Tensor, what: str) -> Solution:
        """Close the books; `what` names the method in the reason."""
        failed = int((~self.converged).sum())
        reason = ""
        if failed:
            worst = self.last[~self.converged]
            finite = worst[np.isfinite(worst)]
            size = f"last update {finite.max():.1e}" if finite.size else "iterates not finite"
            who = "" if len(self.converged) == 1 else f" for {failed} of {len(self.converged)}"
            reason = (
                f"{what} did not converge{who} in {int(self.iterations.max())} iterations"
                f" ({size}, tolerance {self.tol:.0e}): use a smaller time step"
            )
        device = value.device
        return Solution(
            value,
            residual,
            torch.from_numpy(self.iterations).to(device),
            torch.from_numpy(self.converged).to(device),
            reason,
        )
