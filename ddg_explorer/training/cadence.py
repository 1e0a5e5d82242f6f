"""When a training run reports: every so many steps, and in between where a step is long.

A report costs the loss on held-out data and a snapshot, so those by time take at most a
twentieth of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

EVENTS = 100
"""Reports a run by steps."""
PERIOD = 1.0
"""Seconds from one report to the next one by time, at least."""
SHARE = 0.05
"""Of the time, for reports by time."""


class Cadence:
    """Tells after every step whether the run reports.

    Parameters
    ----------
    steps
        Of the whole run.
    every
        Steps between reports, exactly; None: about `EVENTS` a run, after the first step, and where
        the last report lies back `PERIOD`, or its own cost over `SHARE`.
    clock
        Seconds.
    """

    def __init__(
        self, steps: int, every: int | None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.steps, self.every = steps, every or max(1, steps // EVENTS)
        self.timed, self.clock = every is None, clock
        self.told, self.cost = -float("inf"), 0.0

    def due(self, taken: int) -> bool:
        """Whether to report after so many steps."""
        if taken % self.every == 0 or taken == self.steps:
            return True
        waited = self.clock() - self.told
        return self.timed and waited >= max(PERIOD, self.cost / SHARE)

    def reported(self, begin: float) -> None:
        """Take note of a report that began at `begin` by the clock and ends now."""
        self.told = self.clock()
        self.cost = self.told - begin
