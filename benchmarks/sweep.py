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
class Candidate:
    """A scheme with what to try, cheapest first: pairs of integrator and number of equal steps."""

    label: str
    attempts: Sequence[tuple[Integrator, int]]


@dataclass(frozen=True)
class Trial:
    """An accurate enough run: its scheme, and its error against the reference."""

    label: str
    integrator: Integrator
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
        for integrator, steps in candidate.attempts:
            try:
                run = self.integrate(integrator, steps, options, 1)
            except RuntimeError:
                continue
            if relative_error(run.u, self.reference) <= self.bound:
                run = self.integrate(integrator, steps, options, options.repeats(5))
                error = relative_error(run.u, self.reference)
                return Trial(candidate.label, integrator, run, error)
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
    integrator = INTEGRATORS[key](**choices)
    return Candidate(label, [(integrator, n) for n in ladder(coarse, fine, ratio)])


def report(row: Row, trials: Sequence[Trial], prefix: str = "") -> None:
    """Time, error, Δt and iterations of every trial."""
    for trial in trials:
        label = f"{prefix}{trial.label}, {trial.run.steps} steps"
        row.add(f"{label}: s per unit time", trial.run.per_unit_time, "s")
        row.add(f"{label}: error", trial.error)
