"""Running plots of all lanes: energies, drifts, mass, distance from the truth. Bokeh, about 6 Hz.

One `ColumnDataSource` a lane, so a lane costs one message a time. Drifts are those of
`app.measures`, of the true H along every lane and, apart from it, of each model's own H. Log axes
have a fixed range whose floor lies below the last bit of a float64; linear ones widen in strides
instead of following every sample, and only with lanes that stay near the truth, so nothing jumps
while it plays and a lane that diverges hides nobody.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import panel as pn
from bokeh.models import BasicTicker, ColumnDataSource, CustomJSTickFormatter, FixedTicker, Range1d
from bokeh.plotting import figure

from ddg_explorer.app.layout import card
from ddg_explorer.app.limits import grown
from ddg_explorer.app.plotting import heading, key, plain_figure
from ddg_explorer.app.theme import LANE_COLOURS, LANE_DASHES, PALETTES, lane_places, mode
from ddg_explorer.app.turns import Sample

FLOOR = 1e-17
CEILING = 10.0
ROLLOVER = 1200
STREAM_PERIOD = 1 / 6
LANE_PERIOD = 1 / 10
"""Seconds a lane between two updates of its curves, so that many lanes cost no more than a few."""
SAMPLE_PERIOD = 1 / 24
HEIGHT = 152
RELATIVE_SPAN = 0.04
"""Least height of the energy and mass axes, relative to their scale: rounding looks flat."""
REACH = 1.0
"""Energies and masses farther than this many scales from the start do not widen the axes."""

COLUMNS = ("t", "energy", "drift", "own_drift", "mass", "mass_drift", "residual", "error")
LOGARITHMIC = ("drift", "own_drift", "mass_drift", "error")
TITLES = {
    "energy": "Energy H",
    "drift": "Relative change of H",
    "own_drift": "Relative change of each model’s own H",
    "mass": "Mass ∫u",
    "error": "Distance from the truth, relative",
}
"""Figure → heading."""


class RunningPlots:
    """Figures over one source a lane; `push` takes a sample a turn and streams now and then.

    Parameters
    ----------
    models
        Key of each lane's model, "truth" first.
    dark
        Whether the theme is dark.
    """

    def __init__(self, models: Sequence[str], dark: bool) -> None:
        self.models = list(models)
        period = max(STREAM_PERIOD, LANE_PERIOD * len(self.models))
        self.traces = [Trace(period) for _ in models]
        self._ranges = {name: Range1d(start=-1, end=1) for name in ("t", "energy", "mass")}
        self._bounds: dict[str, tuple[float, float]] = {}
        self._figures = {name: self._figure(name) for name in TITLES}
        self._lines = {name: self._draw(name) for name in TITLES}
        self._extra = {
            name: self._figures["drift"].line(
                "t", name, source=self.traces[0].source, line_width=width, line_dash=dash
            )
            for name, width, dash in (("mass_drift", 1.75, [2, 3]), ("residual", 1.25, [6, 4]))
        }
        self._heads = {name: pn.pane.HTML(margin=0, sizing_mode="stretch_width") for name in TITLES}
        self.cards = {
            name: card(
                self._heads[name],
                pn.pane.Bokeh(fig, margin=0, sizing_mode="stretch_width"),
                styles={"flex": "1 1 340px"},
            )
            for name, fig in self._figures.items()
        }
        self.restyle(dark, has_mass=True)

    @property
    def alone(self) -> bool:
        """Whether the true system is the only lane."""
        return len(self.models) == 1

    def restyle(self, dark: bool, *, has_mass: bool) -> None:
        """Colours of the theme, and the legend of what there is."""
        palette = PALETTES[mode(dark)]
        colours = [LANE_COLOURS[mode(dark)][place] for place in lane_places(self.models)]
        for lines in self._lines.values():
            for line, colour in zip(lines, colours, strict=True):
                line.glyph.line_color = colour
        extra = {"mass_drift": LANE_COLOURS[mode(dark)][2], "residual": palette["faint"]}
        for name, line in self._extra.items():
            line.glyph.line_color = extra[name]
            line.visible = self.alone and (has_mass or name != "mass_drift")
        legend = ""
        if self.alone:
            legend = key(colours[0], "solid", "energy")
            legend += key(extra["mass_drift"], "dotted", "mass") if has_mass else ""
            legend += key(extra["residual"], "dashed", "residual")
        for name, title in TITLES.items():
            self._heads[name].object = heading(title, legend if name == "drift" else "")
        shown = {
            "mass": has_mass,
            "own_drift": any(m not in ("truth", "node") for m in self.models),
            "error": not self.alone,
        }
        for name, visible in shown.items():
            self.cards[name].visible = visible

    def push(self, lane: int, sample: Sample, epoch: int, *, flush: bool = False) -> None:
        """Note a lane's sample; stream those noted when it is time, or at once with `flush`.

        A new epoch means that time began anew: the lane's old curve goes.
        """
        trace = self.traces[lane]
        if epoch != trace.epoch:
            trace.begin(epoch)
            if lane == 0:
                self._bounds.clear()
        if samples := trace.take(sample, flush):
            self._widen("energy", samples)
            self._widen("mass", samples)
            trace.stream(samples)
            self._follow()

    def _follow(self) -> None:
        """Show from the oldest kept sample of any lane to the newest."""
        ends = [trace.span for trace in self.traces if trace.span is not None]
        start = min(span[0] for span in ends)
        end = max(span[1] for span in ends)
        self._ranges["t"].update(start=start, end=max(end, start + 1e-9))

    def _widen(self, name: str, samples: Sequence[Sample]) -> None:
        """Hold the values near the start: in a stride where they leave the axis."""
        scale = getattr(samples[0], f"{name}_scale")
        values = [x for s in samples if math.isfinite(x := getattr(s, name))]
        if name not in self._bounds:
            if not values:
                return
            half = max(RELATIVE_SPAN * scale, 1e-12) / 2
            bounds = (min(*values, values[0] - half), max(*values, values[0] + half))
        else:
            bounds = self._bounds[name]
            low, high = bounds[0] - REACH * scale, bounds[1] + REACH * scale
            values = [x for x in values if low <= x <= high] or [*bounds]
        bounds = grown(bounds, (min(values), max(values)), signed=False)
        if bounds != self._bounds.get(name):
            self._bounds[name] = bounds
            self._ranges[name].update(start=bounds[0], end=bounds[1])

    def _figure(self, name: str) -> figure:
        if name not in LOGARITHMIC:
            fig = _figure(self._ranges["t"], self._ranges[name])
            fig.yaxis.formatter = CustomJSTickFormatter(code=_SHORT_NUMBER)
            return fig
        fig = _figure(self._ranges["t"], Range1d(start=FLOOR, end=CEILING), y_axis_type="log")
        fig.yaxis.ticker = FixedTicker(ticks=[1e-16, 1e-12, 1e-8, 1e-4, 1.0])
        return fig

    def _draw(self, name: str) -> list[Any]:
        """The lanes' lines in a figure; unseen where a lane has nothing to show there."""
        lines: list[Any] = []
        for index, place in enumerate(lane_places(self.models)):
            model = self.models[index]
            absent = ("truth", "node") if name == "own_drift" else ("truth",)
            line = self._figures[name].line(
                "t", name, source=self.traces[index].source, line_width=2
            )
            line.glyph.line_dash = LANE_DASHES[place]
            line.visible = name not in ("own_drift", "error") or model not in absent
            lines.append(line)
        return lines


class Trace:
    """One lane's curve: its source, and the samples that wait to be streamed."""

    def __init__(self, period: float = STREAM_PERIOD) -> None:
        self.period = period
        self.source = ColumnDataSource({name: [] for name in COLUMNS})
        self.epoch = 0
        self.span: tuple[float, float] | None = None
        self._pending: list[Sample] = []
        self._sampled = self._streamed = 0.0
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
        if not self._pending or not (flush or now - self._streamed >= self.period):
            return []
        self._streamed = now
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


_SHORT_NUMBER = """
const size = Math.abs(tick);
const plain = size === 0 || (size >= 1e-3 && size < 1e5);
const text = plain ? String(Number(tick.toPrecision(4))) : tick.toExponential(1);
return text.replace("e+", "e").replaceAll("-", "\u2212");
"""


def _figure(x_range: Range1d, y_range: Range1d, **options: Any) -> figure:
    fig = plain_figure(
        HEIGHT,
        x_range=x_range,
        y_range=y_range,
        min_border_right=8,
        min_border_bottom=24,
        **options,
    )
    fig.xaxis.ticker = BasicTicker(desired_num_ticks=4)
    fig.xaxis.formatter = CustomJSTickFormatter(code=_SHORT_NUMBER)
    return fig
