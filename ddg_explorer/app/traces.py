"""The curve of one lane in the running plots: its source, and the samples that wait for it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from bokeh.models import CDSView, ColumnDataSource

from ddg_explorer.app.cadence import Cadence
from ddg_explorer.app.turns import Sample

FLOOR = 1e-17
"""Below the last bit of a float64: zeros lie here on log axes."""
ROLLOVER = 1200
STREAM_PERIOD = 1 / 6
SAMPLE_PERIOD = 1 / 24
COLUMNS = ("t", "energy", "drift", "own_drift", "mass", "mass_drift", "residual", "error")
LOGARITHMIC = ("drift", "own_drift", "mass_drift", "error")


class Trace:
    """One lane's curve: its source, and the samples that wait to be streamed."""

    def __init__(self, period: float = STREAM_PERIOD) -> None:
        self._cadence = Cadence(period)
        self.source = ColumnDataSource({name: [] for name in COLUMNS})
        self.view = CDSView()
        self.epoch = 0
        self.span: tuple[float, float] | None = None
        self._pending: list[Sample] = []
        self._sampled = 0.0
        self._last = math.nan
        self._shown: tuple[float, ...] = ()

    def begin(self, epoch: int) -> None:
        """Forget everything."""
        self.epoch, self.span, self._last, self._shown = epoch, None, math.nan, ()
        self._pending.clear()
        self.source.data = {name: [] for name in COLUMNS}

    def take(self, sample: Sample, flush: bool) -> list[Sample]:
        """Note a sample; those to be streamed now, empty while it is not time yet.

        Where time was turned back, what came after goes.
        """
        if sample.t < self._last:
            self._turn_back(sample.t)
        now = time.perf_counter()
        if flush or now - self._sampled >= SAMPLE_PERIOD:
            shown = (sample.t, sample.mass, sample.energy)  # an edit changes them at the same t
            if shown != self._shown:
                self._pending.append(sample)
            self._sampled, self._last, self._shown = now, sample.t, shown
        if not self._cadence.due(now=flush):
            return []
        samples, self._pending = self._pending, []
        return samples

    def _turn_back(self, t: float) -> None:
        self._pending = [sample for sample in self._pending if sample.t < t]
        kept: Any = self.source.data["t"]
        count = sum(1 for x in kept if x < t)
        self.source.data = {name: list(self.source.data[name])[:count] for name in COLUMNS}
        self._last, self._shown = math.nan, ()

    def stream(self, samples: Sequence[Sample]) -> None:
        """Send samples."""
        kept: Any = self.source.data["t"]
        first = max(0, len(kept) + len(samples) - ROLLOVER)
        start = kept[first] if first < len(kept) else samples[0].t
        self.span = (start, samples[-1].t)
        self.source.stream(_columns(samples), rollover=ROLLOVER)


def _columns(samples: Sequence[Sample]) -> dict[str, Any]:
    columns: dict[str, Any] = {name: [getattr(s, name) for s in samples] for name in COLUMNS}
    for name in LOGARITHMIC:
        columns[name] = [x if math.isnan(x) else max(x, FLOOR) for x in columns[name]]
    columns["residual"] = [x or math.nan for x in columns["residual"]]
    return columns
