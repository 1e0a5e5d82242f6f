"""The one-step equation as a preconditioned fixed point, and the strategy that solves it.

    F(v) = v − u − Δt Ḡ ḡ(v, u) = 0,      g(v) = v − M⁻¹F(v)

1. Anderson-accelerated Picard iteration v ← g(v): no Jacobian, one evaluation each.
2. Where that is slow (large Δt), inexact Newton on g(v) − v with Krylov iterations and exact
   Jacobian–vector products, from the best iterate so far.

Both solve the same equation to the same tolerance, so the laws do not depend on which was used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.predictor import Predictor
from ddg_explorer.integrators.scheme import Scheme
from ddg_explorer.solve import Mixer, Progress, Solution, anderson, max_norm, newton_krylov
from ddg_explorer.solve.inexact import Direction, Slope

NEWTON_LIMIT = 30
DEPTH, DEPTH_LARGE, LARGE = 12, 8, 1 << 17
"""Differences mixed, and how many where a state has more than `LARGE` unknowns."""
RETRY = 8
"""Steps taken by Newton directly after Picard proved slow, before it is tried again."""


class FixedPoint(ABC):
    """One scheme on one dynamics in the form g(v) = v; what depends on M only is kept.

    `patience` is the number of Picard iterations that cost about as much as Newton's method.
    """

    patience = 45

    def __init__(self, dynamics: Dynamics, scheme: Scheme) -> None:
        self.dynamics = dynamics
        self.scheme = scheme
        # what a conservative step leaves as residual adds up over a run: one more iteration
        self.polish = 2 if dynamics.structure.is_skew else 1
        self.predictor = Predictor()
        self._slow_dt: float | None = None
        self._newton_steps = 0
        self._pace: float | None = None
        self._mixer: Mixer | None = None

    def reset(self) -> None:
        """Forget everything measured at earlier states."""
        self._slow_dt = self._pace = None
        self.predictor.reset()

    @abstractmethod
    def start(self, u: Tensor, dt: float) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """g for the step from u and a guess of its fixed point, all on (B, *state)."""

    @abstractmethod
    def defect(self, f: Tensor, u: Tensor) -> Tensor:
        """F(v) from f = g(v) − v, in the shape of f, at the Δt of the last `start`."""

    @abstractmethod
    def newton(self, u: Tensor, dt: float) -> tuple[Direction, Slope | None]:
        """Solver of (1 − g′) δ = f, and the slope of the step's functional where it has one."""

    @abstractmethod
    def precondition_adjoint(self, x: Tensor, shape: torch.Size) -> Tensor:
        """M⁻ᵀ x for (B, n) data of states of this shape."""

    @abstractmethod
    def observe(self, v: Tensor, iterations: int) -> None:
        """Take note of a step's solution and of the iterations it took."""

    def solve(self, u: Tensor, dt: float, scale: Tensor) -> Solution:
        """Solve F(v) = 0 for the step from u, (B, *state)."""
        solver, limit = self.scheme.solver, self.scheme.max_iterations
        progress = Progress(scale, self.scheme.tolerance(u.dtype), self.polish, self._pace)
        g, v = self.start(u, dt)
        f = v  # at least one of the two methods below sets it
        hard = self._slow_dt == dt and self._newton_steps < RETRY
        if solver != "krylov" and not (solver == "auto" and hard):
            if self._mixer is None:
                self._mixer = Mixer(DEPTH if v[0].numel() <= LARGE else DEPTH_LARGE)
            patience = self.patience if solver == "auto" else None
            v, f = anderson(
                g, v, progress, mixer=self._mixer, max_iterations=limit, patience=patience
            )
            self._slow_dt = None
            self._pace = None if progress.accelerated else progress.pace
        if solver != "picard" and not progress.converged.all():
            if self._slow_dt != dt:
                self._slow_dt, self._newton_steps = dt, 0
            self._newton_steps += 1
            progress.reopen()
            direction, slope = self.newton(u, dt)
            v, f = newton_krylov(
                lambda x: g(x.view(u.shape)).flatten(1),
                v.flatten(1),
                progress,
                direction,
                slope=slope,
                max_iterations=min(limit, NEWTON_LIMIT),
            )
        self.observe(v, progress.most_iterations)
        found = progress.solution(v, max_norm(self.defect(f, u)), "the implicit solve")
        if found.reason:
            self.reset()
        return found
