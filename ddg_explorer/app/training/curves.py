"""Learning curves of one job: loss of the batch, and on held-out trajectories, on a log axis.

The axis spans whole decades, all of them labelled while they are few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import panel as pn
from bokeh.models import ColumnDataSource, FixedTicker, Range1d
from bokeh.plotting import figure

from ddg_explorer.app.plotting import heading, key, place, plain_figure, restyle_figure
from ddg_explorer.app.theme import LANE_COLOURS, MODEL_ORDER, PALETTES, mode
from ddg_explorer.app.training.job import Job, Point

HEIGHT = 240
COLUMNS = ("step", "loss", "validation")
LABELS = 7
"""Decades with a label, at most."""


class LearningCurves:
    """Two curves over one source; `show` streams what is new."""

    def __init__(self, dark: bool) -> None:
        self.source = ColumnDataSource({name: [] for name in COLUMNS})
        self._job: Job | None = None
        self._sent = 0
        self._steps = Range1d(start=0, end=1)
        self._losses, self._decades = Range1d(start=0.1, end=1.0), FixedTicker(ticks=[0.1, 1.0])
        self._figure: figure = plain_figure(
            HEIGHT,
            x_range=self._steps,
            y_range=self._losses,
            y_axis_type="log",
        )
        self._figure.xaxis.axis_label = "step"
        self._figure.yaxis.ticker = self._decades
        self._figure.ygrid.ticker = self._decades
        self._loss = self._figure.line("step", "loss", source=self.source, line_width=1.5)
        self._validation = self._figure.line(
            "step", "validation", source=self.source, line_width=2.25
        )
        self._head = pn.pane.HTML(margin=0, sizing_mode="stretch_width")
        self._place = place(HEIGHT)
        self.panel = pn.Column(self._head, self._place, sizing_mode="stretch_width")
        self.restyle(dark)

    def restyle(self, dark: bool) -> None:
        """Colours of the theme, and of the shown job's model."""
        self._dark = dark
        palette = PALETTES[mode(dark)]
        model = "dgnet" if self._job is None else self._job.spec.model
        colour = LANE_COLOURS[mode(dark)][MODEL_ORDER.index(model)]
        self._validation.glyph.line_color = colour
        self._loss.glyph.line_color = palette["faint"]
        self._head.object = heading(
            "Loss (relative square error)",
            key(palette["faint"], "solid", "batch") + key(colour, "solid", "held out"),
        )
        restyle_figure(self._figure, dark)

    def show(self, job: Job | None) -> None:
        """Bring the curves to what `job` has reported; another job than before starts anew."""
        points: Sequence[Point] = [] if job is None else job.points
        if job is not self._job or len(points) < self._sent:
            self._job, self._sent = job, 0
            self.source.data = {name: [] for name in COLUMNS}
            self._place.object = None
            self.restyle(self._dark)
        new = points[self._sent :]
        self._sent += len(new)
        if job is not None and job.progress:
            end = max(1, job.progress["steps"])
            if end != self._steps.end:
                self._steps.end = end
        if new:
            self._span(points)
            self._place.object = self._figure
            self.source.stream(
                {
                    "step": [p.step for p in new],
                    "loss": [_positive(p.loss) for p in new],
                    "validation": [_positive(p.validation) for p in new],
                }
            )

    def _span(self, points: Sequence[Point]) -> None:
        """Let the axis hold these points."""
        values = [_positive(value) for p in points for value in (p.loss, p.validation)]
        first, last = decades([value for value in values if not math.isnan(value)])
        every = -(-(last - first) // (LABELS - 1))
        ticks = [10.0**k for k in range(last, first - 1, -every)]
        if ticks != self._decades.ticks:
            self._decades.ticks = ticks
        if (10.0**first, 10.0**last) != (self._losses.start, self._losses.end):
            self._losses.update(start=10.0**first, end=10.0**last)


def decades(values: Sequence[float]) -> tuple[int, int]:
    """Exponents of the whole decades that hold these positive values, one decade at least."""
    if not values:
        return -1, 0
    # a value on a power of ten is its end, whatever the logarithm rounds to
    first = math.floor(math.log10(min(values)) + 1e-9)
    last = math.ceil(math.log10(max(values)) - 1e-9)
    return (first, last) if first < last else (last - 1, last)


def _positive(value: float | None) -> float:
    """What a log axis can show; NaN leaves a gap."""
    return value if value is not None and 0 < value < math.inf else math.nan
