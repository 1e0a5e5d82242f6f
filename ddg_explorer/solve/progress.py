"""Per-trajectory bookkeeping of an iterative solve, and the result it ends in.

Iterates have shape (B, n): B trajectories of n unknowns each. The stop decision needs one number
per trajectory on the host, so the books are numpy arrays and cost one transfer per iteration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

STALL_EPS = 100.0
"""An update that no longer shrinks counts as the rounding floor below this many ulps."""
STALL_RATE = 0.5
EXACT_EPS = 4.0
"""An update below this many ulps needs no polishing."""
DIVERGED = 1e8
"""A scaled update beyond this gives a trajectory up."""


@dataclass(frozen=True, slots=True)
class Solution:
    """What a solve returns: (B, n) values and one entry per trajectory of everything else.

    Attributes
    ----------
    value
        The accepted iterate; where the solve failed, the best one it saw.
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
    # vector_norm(inf) is not vectorised: some twenty times slower on a few thousand entries
    return x.abs().amax(-1)


class Progress:
    """Which trajectories still iterate, which converged, and how fast they go.

    `record` takes max|δ| of every trajectory's update δ; its size is max|δ|/scale. A trajectory
    has converged when its size is ≤ `tol`, or when it stopped shrinking within `STALL_EPS` ulps
    (the rounding floor); after the tolerance is met `polish` more iterations follow. It is given
    up when its size is not finite or exceeds `DIVERGED`.

    Attributes
    ----------
    active, converged
        (B,) masks; a trajectory that is neither was given up.
    size, rate
        (B,) last size, and its ratio to the one before (inf at first).
    """

    def __init__(self, scale: Tensor, tol: float, polish: int = 0) -> None:
        batch = scale.shape[0]
        self.scale = scale.detach().cpu().numpy()
        self.tol = tol
        self.floor = STALL_EPS * torch.finfo(scale.dtype).eps
        self.exact = EXACT_EPS * torch.finfo(scale.dtype).eps
        self._bound = max(tol, self.floor)
        self.polish = polish
        self.active = np.ones(batch, dtype=bool)
        self.converged = np.zeros(batch, dtype=bool)
        self.iterations = np.zeros(batch, dtype=np.int64)
        self.size = np.full(batch, np.inf)
        self.rate = np.full(batch, np.inf)
        self._left = np.full(batch, polish)
        self._whole = True
        self._met = False

    def record(self, update: Tensor) -> None:
        """Take in max|δ|, (B,), of one iteration; frozen trajectories are ignored."""
        if self.scale.size == 1:
            self._record_one(update.item() / float(self.scale[0]))
            return
        now = update.detach().cpu().numpy() / self.scale
        if self._whole and now.min() > self._bound and now.max() <= DIVERGED:
            self.iterations += 1
            self.rate = now / self.size
            self.size = now
            return
        self._record(now)

    def _record_one(self, now: float) -> None:
        """One trajectory: floats are an order of magnitude faster than arrays."""
        if not self._whole:
            return
        self.iterations[0] += 1
        rate = now / float(self.size[0])
        self.rate[0], self.size[0] = rate, now
        if self._bound < now <= DIVERGED and not self._met:
            return
        stalled = rate > STALL_RATE and now <= self.floor
        if now <= self.tol or stalled or (self._met and now <= DIVERGED):
            self._met = True
            self.converged[0] = True
            self._whole = self._left[0] > 0 and not stalled and now > self.exact
            self._left[0] -= 1
        elif not now <= DIVERGED:
            self._whole = False
        self.active[0] = self._whole

    def _record(self, now: np.ndarray) -> None:
        """The general case: some trajectory converges, is frozen or is lost."""
        self._whole = False
        active = self.active
        self.iterations += active
        with np.errstate(all="ignore"):
            rate = now / self.size
            stalled = (rate > STALL_RATE) & (now <= self.floor)
            met = active & ((now <= self.tol) | stalled | self.converged)
            lost = active & ~(now <= DIVERGED)
        ended = met & ((self._left <= 0) | stalled | (now <= self.exact))
        self._left[met] -= 1
        self.converged |= met & ~lost
        self.rate = np.where(active, rate, self.rate)
        self.size = np.where(active, now, self.size)
        self.active = active & ~ended & ~lost

    def reopen(self) -> None:
        """Let the trajectories that did not converge iterate again, by another method."""
        self.active = ~self.converged
        self.size = np.where(self.converged, self.size, np.inf)
        self._left = np.where(self.converged, self._left, self.polish)
        self._whole = bool(self.active.all())

    def give_up(self, stuck: np.ndarray) -> None:
        """Stop the trajectories of this (B,) mask where they are."""
        self.active = self.active & ~stuck
        self._whole = False

    @property
    def running(self) -> bool:
        return self._whole or bool(self.active.any())

    @property
    def slowest(self) -> float:
        """The largest rate among the active trajectories."""
        rate = self.rate if self._whole else self.rate[self.active]
        return float(rate[0] if rate.size == 1 else rate.max())

    def mask(self, like: Tensor) -> Tensor | None:
        """The active trajectories as a (B, 1) mask beside `like`; None if all are active."""
        if self._whole or self.active.all():
            return None
        return torch.from_numpy(self.active).to(like.device)[:, None]

    def solution(self, value: Tensor, residual: Tensor, what: str) -> Solution:
        """Close the books; `what` names the method in the reason."""
        return Solution(
            value,
            residual,
            torch.from_numpy(self.iterations).to(value.device),
            torch.from_numpy(self.converged).to(value.device),
            "" if self.converged.all() else self.describe(what),
        )

    def describe(self, what: str) -> str:
        """One line on the trajectories that did not converge."""
        failed = ~self.converged
        sizes = self.size[failed]
        finite = sizes[np.isfinite(sizes)]
        size = f"last update {finite.max():.1e}" if finite.size else "iterates not finite"
        who = "" if len(failed) == 1 else f" for {failed.sum()} of {len(failed)}"
        return (
            f"{what} did not converge{who} in {self.iterations.max()} iterations"
            f" ({size}, tolerance {self.tol:.0e}): use a smaller time step"
        )
