"""How long a lane's steps take, and how many of them a turn takes."""

from __future__ import annotations

import math
import time

from ddg_explorer.app.measures import RateMeter
from ddg_explorer.app.turns import Turn
from ddg_explorer.frames import Frame
from ddg_explorer.rollout import Rollout


class Pace:
    """`cost` is what a step took in the last turn, `shown` the same smoothed, in seconds."""

    def __init__(self) -> None:
        self._meter = RateMeter()
        self.begin()

    def begin(self) -> None:
        """Something else runs: forget the costs."""
        self.cost = self.shown = 0.0

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self._meter.rate

    def step(self, rollout: Rollout, turn: Turn, *, single: bool) -> list[Frame]:
        """Up to `turn.steps` steps within about `turn.budget` seconds; at least one frame.

        With `single` every step is a frame, else only what was measured.
        """
        budget = math.inf if turn.budget is None else turn.budget
        start, first, frames = time.perf_counter(), rollout.steps, []
        while not rollout.stopped and (left := turn.steps - rollout.steps + first) > 0:
            spare = budget - (time.perf_counter() - start)
            if frames and spare < self.cost:
                break
            affordable = left
            if math.isfinite(spare):
                affordable = max(1, int(spare / self.cost)) if self.cost else 1
            frames.append(rollout.step(1 if single else min(left, affordable)))
            self.cost = (time.perf_counter() - start) / max(rollout.steps - first, 1)
        self.shown += (self.cost - self.shown) * (0.1 if self.shown else 1.0)
        self._meter.count(rollout.steps - first)
        return frames
