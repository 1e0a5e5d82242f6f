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

from ddg_explorer.solve import Progress, Solution, anderson, max_norm, newton_krylov
from ddg_explorer.solve.inexact import Direction, Slope

PATIENCE = 45
"""Picard iterations that cost about as much as Newton–Krylov from the start."""
RETRY = 8
"""Steps taken by Newton directly after Picard proved slow, before it is tried again."""


class FixedPoint(ABC):
    """One scheme on one dynamics in the form g(v) = v; what depends on M only is kept."""

    def __init__(self) -> None:
        self._slow_dt: float | None = None
        self._newton_steps = 0

    def reset(self) -> None:
        """Forget everything measured at earlier states."""
        self._slow_dt = None

    @abstractmethod
    def start(self, u: Tensor, dt: float) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """g for the step from u, (B, *state), and a guess of its fixed point; both on (B, n)."""

    @abstractmethod
    def defect(self, f: Tensor, u: Tensor) -> Tensor:
        """F(v), (B, n), from f = g(v) − v at the Δt of the last `start`."""

    @abstractmethod
    def newton(self, u: Tensor, dt: float) -> tuple[Direction, Slope | None]:
        """Solver of (1 − g′) δ = f, and the slope of the step's functional where it has one."""

    @abstractmethod
    def precondition_adjoint(self, x: Tensor, shape: torch.Size) -> Tensor:
        """M⁻ᵀ x for (B, n) data of states of this shape."""

    @abstractmethod
    def observe(self, v: Tensor, iterations: int) -> None:
        """Take note of a step's solution, (B, n), and of the iterations it took."""

    def solve(
        self,
        u: Tensor,
        dt: float,
        *,
        scale: Tensor,
        tol: float,
        max_iterations: int,
        solver: str,
        polish: int,
    ) -> Solution:
        """Solve F(v) = 0."""
        progress = Progress(scale, tol, polish)
        g, v = self.start(u, dt)
        f = None
        newton_first = solver == "krylov" or (
            solver == "auto" and self._slow_dt == dt and self._newton_steps < RETRY
        )
        if not newton_first:
            patience = PATIENCE if solver == "auto" else None
            v, f = anderson(g, v, progress, max_iterations=max_iterations, patience=patience)
            self._slow_dt = None
        if solver != "picard" and not progress.converged.all():
            if self._slow_dt != dt:
                self._slow_dt, self._newton_steps = dt, 0
            self._newton_steps += 1
            progress.reopen()
            direction, slope = self.newton(u, dt)
            v, f = newton_krylov(
                g, v, progress, direction, slope=slope, max_iterations=max_iterations
            )
        assert f is not None
        self.observe(v, int(progress.iterations.max()))
        return progress.solution(v, max_norm(self.defect(f, u)), "the implicit solve")
