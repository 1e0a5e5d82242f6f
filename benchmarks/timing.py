"""Clocks and error measures shared by the rows.

Times are the smallest of several runs on both sides of every ratio: whatever else the machine does
can only add to a time. Errors are relative, ‖u − u_ref‖₂/‖u_ref‖₂, on both sides as well.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from torch import Tensor

from benchmarks.machine import Options, synchronise
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators.base import Integrator
from ddg_explorer.rollout import Rollout


@dataclass(frozen=True)
class Run:
    """A timed integration from u0 to t = steps·dt.

    `iterations` is the mean per step, `residual` the largest.
    """

    dt: float
    steps: int
    seconds: float
    u: Tensor
    residual: float
    iterations: float

    @property
    def per_step(self) -> float:
        return self.seconds / self.steps

    @property
    def per_unit_time(self) -> float:
        return self.seconds / (self.steps * self.dt)


def relative_error(u: Tensor, reference: Tensor) -> float:
    return float((u - reference).norm() / reference.norm())


def timed_run(
    dynamics: Dynamics,
    u0: Tensor,
    dt: float,
    steps: int,
    integrator: str | Integrator,
    options: Options,
    *,
    tol: float | None = None,
    repeats: int = 3,
) -> Run:
    """Integrate through `Rollout`, the public interface, as often as asked; keep the best time.

    Each repeat is a fresh rollout from u0; a short one goes first and is not counted (allocator,
    plans of the Fourier transforms).

    Raises
    ------
    RuntimeError
        If the rollout stops early.
    """
    Rollout(dynamics, u0, dt, integrator, tol=tol).step(min(steps, 3))
    best = float("inf")
    for _ in range(repeats):
        rollout = Rollout(dynamics, u0, dt, integrator, tol=tol)
        synchronise(options.device)
        start = time.perf_counter()
        frame = rollout.step(steps)
        synchronise(options.device)
        best = min(best, time.perf_counter() - start)
        if frame.reason:
            raise RuntimeError(frame.reason)
    return Run(
        dt,
        steps,
        best,
        frame.u,
        float(frame.residual.max()),
        float(frame.iterations.double().mean()),
    )
