"""Clocks and error measures shared by the rows.

Times are the smallest of several runs on both sides of every ratio: whatever else the machine does
can only add to a time. Errors are relative, ‖u − u_ref‖₂/‖u_ref‖₂, on both sides as well.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from benchmarks.machine import Options, synchronise
from benchmarks.peers.clock import best_time
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.frames import Frame
from ddg_explorer.integrators.base import Integrator
from ddg_explorer.rollout import Rollout


@dataclass(frozen=True)
class Run:
    """A timed integration from u0 to t = steps·dt.

    `residual` and `iterations` are those of the hardest step, the latter as a mean over the batch;
    `disturbance` is wall over CPU time (see `benchmarks.peers.clock`).
    """

    dt: float
    steps: int
    seconds: float
    u: Tensor
    residual: float
    iterations: float
    disturbance: float

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

    def work() -> Frame:
        frame = Rollout(dynamics, u0, dt, integrator, tol=tol).step(steps)
        synchronise(options.device)
        if frame.reason:
            raise RuntimeError(frame.reason)
        return frame

    synchronise(options.device)
    seconds, disturbance, frame = best_time(work, repeats, check=options.on_cpu)
    residual, iterations = float(frame.residual.max()), float(frame.iterations.double().mean())
    return Run(dt, steps, seconds, frame.u, residual, iterations, disturbance)


@dataclass(frozen=True)
class Cost:
    """Seconds per piece of a repeated work: processor time, smallest and median, and wall time.

    Processor time, because a step of milliseconds is often interrupted where a machine is shared;
    on a GPU, which works at no processor time, wall time throughout.
    """

    least: float
    median: float
    wall: float


def cost_of(work: Callable[[], object], pieces: int, repeats: int, device: str = "cpu") -> Cost:
    """Repeat `work`, which does `pieces` of what is to be timed, on one thread."""
    busy, wall = [], []
    for _ in range(repeats):
        begin, start = time.perf_counter(), time.process_time()
        work()
        synchronise(device)
        wall.append((time.perf_counter() - begin) / pieces)
        busy.append((time.process_time() - start) / pieces if device == "cpu" else wall[-1])
    return Cost(min(busy), statistics.median(busy), statistics.median(wall))
