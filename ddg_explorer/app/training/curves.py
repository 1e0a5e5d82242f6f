"""Learning curves of one job: loss of the batch, and on held-out trajectories, on a log axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import panel as pn
from bokeh.models import ColumnDataSource, DataRange1d, Range1d
from bokeh.plotting import figure

from ddg_explorer.app.plotting import heading, key, place, plain_figure, restyle_figure
from ddg_explorer.app.theme import LANE_COLOURS, MODEL_ORDER, PALETTES, mode
from ddg_explorer.app.training.job import Job, Point

HEIGHT = 240
COLUMNS = ("step", "loss", "validation")


class LearningCurves:
    """Two curves over one source; `show` streams what is new."""

    def __init__(self, dark: bool) -> None:
        self.source = ColumnDataSource({name: [] for name in COLUMNS})
        self._job: Job | None = None
        self._sent = 0
        self._steps = Range1d(start=0, end=1)
        self._figure: figure = plain_figure(
            HEIGHT,
            x_range=self._steps,
            y_range=DataRange1d(range_padding=0.08),
            y_axis_type="log",
        )
        self._figure.xaxis.axis_label = "step"
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
            self._place.object = self._figure
            self.source.stream(
                {
                    "step": [p.step for p in new],
                    "loss": [_positive(p.loss) for p in new],
                    "validation": [_positive(p.validation) for p in new],
                }
            )


def _positive(value: float | None) -> float:
    """What a log axis can show; NaN leaves a gap."""
    return value if value is not None and 0 < value < math.inf else math.nan
