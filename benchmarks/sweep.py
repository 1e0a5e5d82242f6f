"""The cheapest run of ours that is accurate enough: every scheme walks up a ladder of efforts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from benchmarks.machine import Options
from benchmarks.report import Row
from benchmarks.timing import Run, relative_error, timed_run
from ddg_explorer.dynamics import Dynamics
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.integrators.base import Integrator


@dataclass(frozen=True)
class Attempt:
    """A number of equal steps with one integrator; `effort` says how hard it tries."""

    integrator: Integrator
    steps: int
    effort: str


@dataclass(frozen=True)
class Candidate:
    """A scheme with what to try, cheapest first."""

    label: str
    attempts: Sequence[Attempt]


@dataclass(frozen=True)
class Trial:
    """An accurate enough run of a candidate, and its error against the reference."""

    label: str
    integrator: Integrator
    effort: str
    run: Run
    error: float


@dataclass(frozen=True)
class Target:
    """What every candidate integrates: u0 to t = `until`, error in time at most `bound`."""

    dynamics: Dynamics
    u0: Tensor
    until: float
    reference: Tensor
    bound: float

    def integrate(self, integrator: Integrator, steps: int, options: Options, repeats: int) -> Run:
        dt = self.until / steps
        return timed_run(self.dynamics, self.u0, dt, steps, integrator, options, repeats=repeats)

    def first_within(self, candidate: Candidate, options: Options) -> Trial | None:
        """The first attempt whose error is within the bound, timed properly; None if none is.

        An attempt that does not converge counts as one that is not accurate enough.
        """
        for attempt in candidate.attempts:
            work = (attempt.integrator, attempt.steps, options)
            try:
                run = self.integrate(*work, 1)
            except RuntimeError:
                continue
            if relative_error(run.u, self.reference) <= self.bound:
                run = self.integrate(*work, options.repeats(5))
                error = relative_error(run.u, self.reference)
                return Trial(candidate.label, attempt.integrator, attempt.effort, run, error)
        return None


def ladder(coarse: int, fine: int, ratio: float = 1.2) -> list[int]:
    """Step counts from `coarse` to `fine` (ends included) growing by about `ratio`."""
    counts, n = [coarse], float(coarse)
    while counts[-1] < fine:
        n = max(n * ratio, counts[-1] + 1)
        counts.append(min(round(n), fine))
    return counts


def equal_steps(
    label: str, key: str, coarse: int, fine: int, *, ratio: float = 1.2, **choices: Any
) -> Candidate:
    """The scheme `key` with equal steps, from `coarse` to `fine` of them."""
    make: Any = INTEGRATORS[key]
    integrator = make(**choices)
    counts = ladder(coarse, fine, ratio)
    return Candidate(label, [Attempt(integrator, n, f"{n} steps") for n in counts])


def adaptive(label: str, key: str, rtols: Sequence[float], **choices: Any) -> Candidate:
    """The scheme `key` with Δt chosen by its own error estimate, for falling tolerances."""
    make: Any = INTEGRATORS[key]
    return Candidate(label, [Attempt(make(rtol=x, **choices), 1, f"rtol {x:.1e}") for x in rtols])


def fine_solution(
    dynamics: Dynamics, u0: Tensor, until: float, steps: int, options: Options
) -> Tensor:
    """u(until) by collocation of order 8 in equal steps, solved to 1e-13."""
    make: Any = INTEGRATORS["collocation8"]
    integrator = make(adaptive=False, tol=1e-13)
    return timed_run(dynamics, u0, until / steps, steps, integrator, options, repeats=1).u


def report(row: Row, trials: Sequence[Trial], prefix: str = "") -> None:
    """Time, error, Δt and iterations of every trial."""
    for trial in trials:
        label = f"{prefix}{trial.label}, {trial.effort}"
        row.saw(trial.run.disturbance)
        row.add(f"{label}: s per unit time", trial.run.per_unit_time, "s")
        row.add(f"{label}: error", trial.error)
