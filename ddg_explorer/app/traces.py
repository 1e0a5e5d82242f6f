"""The curve of one lane in the running plots: the samples kept, and those that wait to be sent."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np

from ddg_explorer.app.turns import Sample

FLOOR = 1e-17
"""Below the last bit of a float64: zeros lie here on log axes."""
ROLLOVER = 1200
"""Samples kept, the newest; the browser keeps as many."""
SAMPLE_PERIOD = 1 / 24
COLUMNS = ("t", "energy", "drift", "own_drift", "mass", "mass_drift", "residual", "error")
LOGARITHMIC = ("drift", "own_drift", "mass_drift", "error")

_row = attrgetter(*COLUMNS)


class Trace:
    """One lane's curve; `rows` are its samples, (n, len(COLUMNS)), as they have been sent."""

    def __init__(self) -> None:
        self.epoch = 0
        self.rows = np.empty((0, len(COLUMNS)))
        self._waiting: list[Sample] = []
        self._sampled = 0.0
        self._last = math.nan
        self._shown: tuple[float, ...] = ()
        self._references: tuple[float, ...] = ()

    @property
    def span(self) -> tuple[float, float] | None:
        """Times of the oldest and of the newest row."""
        return (float(self.rows[0, 0]), float(self.rows[-1, 0])) if len(self.rows) else None

    def begin(self, epoch: int) -> None:
        """Forget everything."""
        self.epoch, self._last = epoch, math.nan
        self._shown = self._references = ()
        self.rows = self.rows[:0]
        self._waiting.clear()

    def note(self, sample: Sample, *, always: bool) -> bool:
        """Let a sample wait to be sent; one that follows the last too soon only with `always`.

        Where time was turned back, what came after goes; returns whether rows went.
        """
        count = len(self.rows)
        if sample.t < self._last:
            self._turn_back(sample.t)
        now = time.perf_counter()
        if always or now - self._sampled >= SAMPLE_PERIOD:
            shown = (sample.t, sample.mass, sample.energy)  # an edit changes them at the same t
            if shown != self._shown:
                self._break_where_drifts_begin_anew(sample)
                self._waiting.append(sample)
            self._sampled, self._last, self._shown = now, sample.t, shown
        return len(self.rows) < count

    def _turn_back(self, t: float) -> None:
        self._waiting = [sample for sample in self._waiting if sample.t < t]
        self.rows = self.rows[: np.count_nonzero(self.rows[:, 0] < t)]
        self._last, self._shown, self._references = math.nan, (), ()

    def _break_where_drifts_begin_anew(self, sample: Sample) -> None:
        """After an edit drifts are relative to the edited state: no line leads there."""
        references = (sample.energy_scale, sample.mass_scale)
        if self._references not in ((), references):
            self._waiting.append(replace(sample, **dict.fromkeys(LOGARITHMIC, math.nan)))
        self._references = references

    def take(self) -> list[Sample]:
        """The samples that wait, which wait no longer."""
        samples, self._waiting = self._waiting, []
        return samples

    def append(self, samples: Sequence[Sample]) -> tuple[int, bytes]:
        """Keep samples; for the browser, how many rows they follow, and their own."""
        kept, rows = len(self.rows), _rows(samples)
        self.rows = np.concatenate((self.rows, rows))[-ROLLOVER:]
        return kept, rows.tobytes()


def _rows(samples: Sequence[Sample]) -> np.ndarray:
    rows = np.array([_row(sample) for sample in samples], dtype="<f8")
    for name in LOGARITHMIC:
        column = rows[:, COLUMNS.index(name)]
        np.maximum(column, FLOOR, out=column)
    residual = rows[:, COLUMNS.index("residual")]
    residual[residual == 0] = math.nan
    return rows
