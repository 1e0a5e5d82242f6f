"""When to bring up to date what accompanies the pictures: curves, clock, table."""

from __future__ import annotations

import time
from collections.abc import Callable

FRAMES = 6
"""Frames from one update to the next, at least, where nothing else is said."""
LATEST = 1.0
"""Seconds from one update to the next, at most, however slowly frames come."""


class Cadence:
    """Ask `due` once a frame.

    An update costs server and browser more than a frame does. Where frames come slowly, because
    steps are long or many sessions play, updates come slowly too and leave the time to the frames.

    Parameters
    ----------
    period
        Seconds between two updates where frames come fast.
    frames
        Frames from one update to the next, at least.
    clock
        Tells the time, in seconds.
    """

    def __init__(
        self,
        period: float,
        frames: int = FRAMES,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._period, self._least, self._clock = period, frames, clock
        self._last, self._frames = -LATEST, 0

    def due(self, *, now: bool = False) -> bool:
        """Whether to update with this frame, which then counts as done; always with `now`."""
        self._frames += 1
        elapsed = self._clock() - self._last
        paced = elapsed >= self._period and self._frames >= self._least
        if not (now or paced or elapsed >= max(LATEST, self._period)):
            return False
        self._last, self._frames = self._clock(), 0
        return True
