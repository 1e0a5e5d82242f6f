"""Per-trajectory bookkeeping of an iterative solve, and the result it ends in.

Iterates have shape (B, n): B trajectories of n unknowns each. The stop decision needs one number
per trajectory on the host, so the books are numpy arrays and cost one transfer per iteration.
"""

from __future__ import annotations

import math
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
LEAP_RATE = 0.18
"""A trajectory that contracts at least this fast need not be observed at every iteration."""


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
    """max|x| per trajectory, (B, …) → (B,)."""
    # vector_norm(inf) is not vectorised: some twenty times slower on a few thousand entries
    return x.abs().flatten(1).amax(-1)


def rows(mask: np.ndarray, like: Tensor) -> Tensor:
    """A (B,) mask of trajectories as a tensor that broadcasts with `like`, (B, …)."""
    return torch.from_numpy(mask).to(like.device).view(-1, *(1,) * (like.ndim - 1))


class Progress:
    """Which trajectories still iterate, which converged, and how fast they go.

    `record` takes max|δ| of every trajectory's update δ; its size is max|δ|/scale. A trajectory
    has converged when its size is ≤ `tol`, or when it stopped shrinking within `STALL_EPS` ulps
    (the rounding floor); after the tolerance is met `polish` more iterations follow. It is given
    up when its size is not finite or exceeds `DIVERGED`, also while it is polished.

    With `pace`, the rate of the last solve of this kind, a single trajectory may leave iterations
    unobserved: `leap` says how many, and `record` is told.

    Attributes
    ----------
    active, converged
        (B,) masks; a trajectory that is neither was given up.
    size, rate
        (B,) last size, and its ratio to the one before (inf at first).
    pace
        Rate per iteration of a single trajectory, as last seen.
    accelerated
        Whether iterates were mixed: the pace then says nothing about the plain iteration.
    """

    def __init__(
        self, scale: Tensor, tol: float, polish: int = 0, pace: float | None = None
    ) -> None:
        batch = scale.shape[0]
        self.scale = scale.detach().cpu().numpy()
        self.tol = tol
        self.floor = STALL_EPS * torch.finfo(scale.dtype).eps
        self.exact = EXACT_EPS * torch.finfo(scale.dtype).eps
        self._bound = max(tol, self.floor)
        self.polish = polish
        self.pace = math.inf if pace is None else pace
        self.leaps = pace is not None and batch == 1
        self.accelerated = False
        self.active = np.ones(batch, dtype=bool)
        self.converged = np.zeros(batch, dtype=bool)
        self.iterations = np.zeros(batch, dtype=np.int64)
        self.size = np.full(batch, np.inf)
        self.rate = np.full(batch, np.inf)
        self._left = np.full(batch, polish)
        self._whole = True
        self._met = False

    def leap(self) -> int:
        """Iterations that can go unobserved before the next one is worth a look."""
        size = float(self.size[0])
        steady = self.leaps and not self.accelerated and 0 < self.pace <= LEAP_RATE
        if not steady or size == math.inf:
            return 0
        goal = max(self.tol * self.pace**self.polish, self.floor)
        return max(0, math.ceil(math.log(goal / size) / math.log(self.pace)) - 1)

    def record(self, update: Tensor, unobserved: int = 0) -> bool:
        """Take in max|δ|, (B,), of one iteration; frozen trajectories are ignored.

        `unobserved` iterations went before it. False, and only counted, if these did not contract:
        they are to be done again, one by one.
        """
        if self.scale.size == 1:
            now = update.item() / float(self.scale[0])
            if unobserved and not now < self.size[0]:
                self.leaps = False
                self.iterations[0] += 1 + unobserved
                return False
            self._record_one(now, unobserved)
            return True
        now = update.detach().cpu().numpy() / self.scale
        if self._whole and now.min() > self._bound and now.max() <= DIVERGED:
            self.iterations += 1
            self.rate = now / self.size
            self.size = now
            return True
        self._record(now)
        return True

    def _record_one(self, now: float, unobserved: int) -> None:
        """One trajectory: floats are an order of magnitude faster than arrays."""
        if not self._whole:
            return
        self.iterations[0] += 1 + unobserved
        before = float(self.size[0])
        rate = now / before
        if math.isfinite(before):
            rate = self.pace = rate ** (1 / (1 + unobserved))
        self.rate[0], self.size[0] = rate, now
        if self._bound < now <= DIVERGED and not self._met:
            return
        stalled = rate > STALL_RATE and now <= self.floor
        if now <= self.tol or stalled or (self._met and now <= DIVERGED):
            self._met = True
            self.converged[0] = True
            if unobserved and 0 < now < self.tol:
                # the tolerance was met by some of the iterations that went unobserved
                self._left[0] -= min(unobserved, int(math.log(now / self.tol) / math.log(rate)))
            self._whole = self._left[0] > 0 and not stalled and now > self.exact
            self._left[0] -= 1
        elif not now <= DIVERGED:
            self._whole = self.converged[0] = False
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
        self.converged = (self.converged | met) & ~lost
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
    def most_iterations(self) -> int:
        """The iterations of the trajectory that took most."""
        return max(self.iterations.tolist())

    @property
    def slowest(self) -> float:
        """The largest rate among the active trajectories."""
        rate = self.rate if self._whole else self.rate[self.active]
        return float(rate[0] if rate.size == 1 else rate.max())

    def mask(self, like: Tensor) -> Tensor | None:
        """The active trajectories as a mask beside `like`, (B, …); None if all are active."""
        if self._whole or self.active.all():
            return None
        return rows(self.active, like)

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
            f" ({size}, tolerance {self.tol:.0e})"
        )
