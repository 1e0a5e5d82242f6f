"""Running plots of one lane: energy, relative drifts and residual, mass. Bokeh, about 6 Hz.

One `ColumnDataSource`, so a lane costs one message a time. The drift of the energy is
|H − H₀|/max(|H₀|, H-scale), that of the mass |M − M₀|/∫|u₀|; both, and the residual, are drawn on a
log axis of fixed range whose floor lies below the last bit of a float64. The other axes widen in
strides instead of following every sample, so nothing jumps while it plays.
"""

from __future__ import annotations

import math
import time
from typing import Any

import panel as pn
from bokeh.models import ColumnDataSource, CustomJSTickFormatter, FixedTicker, Range1d
from bokeh.plotting import figure

from ddg_explorer.app.layout import card
from ddg_explorer.app.limits import grown
from ddg_explorer.app.theme import LANE_COLOURS, PALETTES, mode
from ddg_explorer.app.turns import Sample

FLOOR = 1e-17
CEILING = 10.0
ROLLOVER = 1200
STREAM_PERIOD = 1 / 6
SAMPLE_PERIOD = 1 / 24
HEIGHT = 152
RELATIVE_SPAN = 0.04
"""Least height of the energy and mass axes, relative to their scale: rounding looks flat."""

COLUMNS = ("t", "energy", "drift", "mass", "mass_drift", "residual")


class RunningPlots:
    """Three figures over one source; `push` takes a sample a turn and streams now and then."""

    def __init__(self, dark: bool) -> None:
        self.source = ColumnDataSource({name: [] for name in COLUMNS})
        self._pending: list[Sample] = []
        self._sampled = self._streamed = 0.0
        self._ranges = {name: Range1d(start=-1, end=1) for name in ("t", "energy", "mass")}
        self._bounds = {"energy": (-1.0, 1.0), "mass": (-1.0, 1.0)}
        self._fresh = True
        self._last = math.nan
        self._epoch = 0
        time_range = self._ranges["t"]
        self._energy = _figure(time_range, self._ranges["energy"])
        self._drift = _figure(time_range, Range1d(start=FLOOR, end=CEILING), y_axis_type="log")
        self._drift.yaxis.ticker = FixedTicker(ticks=[1e-16, 1e-12, 1e-8, 1e-4, 1.0])
        self._mass = _figure(time_range, self._ranges["mass"])
        for fig in (self._energy, self._mass):
            fig.yaxis.formatter = CustomJSTickFormatter(code=_SHORT_NUMBER)
        self._lines = {
            "energy": self._energy.line("t", "energy", source=self.source, line_width=2),
            "drift": self._drift.line("t", "drift", source=self.source, line_width=2),
            "mass_drift": self._drift.line(
                "t", "mass_drift", source=self.source, line_width=1.75, line_dash=[2, 3]
            ),
            "residual": self._drift.line(
                "t", "residual", source=self.source, line_width=1.25, line_dash=[6, 4]
            ),
            "mass": self._mass.line("t", "mass", source=self.source, line_width=2),
        }
        self._heads = {
            name: pn.pane.HTML(margin=0, sizing_mode="stretch_width") for name in _TITLES
        }
        self.cards = {
            name: card(self._heads[name], pn.pane.Bokeh(fig, margin=0, sizing_mode="stretch_width"))
            for name, fig in (
                ("energy", self._energy),
                ("drift", self._drift),
                ("mass", self._mass),
            )
        }
        self.restyle(dark, has_mass=True)

    def restyle(self, dark: bool, *, has_mass: bool) -> None:
        """Colours of the theme, and the legend of what there is."""
        lane, palette = LANE_COLOURS[mode(dark)][0], PALETTES[mode(dark)]
        colours = {
            "energy": lane,
            "drift": lane,
            "mass": lane,
            "mass_drift": LANE_COLOURS[mode(dark)][1],
            "residual": palette["faint"],
        }
        for name, line in self._lines.items():
            line.glyph.line_color = colours[name]
        self._lines["mass_drift"].visible = has_mass
        legend = _key(lane, "solid", "energy")
        if has_mass:
            legend += _key(colours["mass_drift"], "dotted", "mass")
        legend += _key(colours["residual"], "dashed", "residual")
        for name, title in _TITLES.items():
            self._heads[name].object = _heading(title, legend if name == "drift" else "")
        self.cards["mass"].visible = has_mass

    def push(self, sample: Sample, epoch: int, *, flush: bool = False) -> None:
        """Note a sample; stream those noted when it is time, or at once with `flush`.

        A new epoch means that time began anew: the old curves go.
        """
        if epoch != self._epoch:
            self._epoch, self._fresh, self._last = epoch, True, math.nan
            self._pending.clear()
            self.source.data = {name: [] for name in COLUMNS}
        now = time.perf_counter()
        if flush or now - self._sampled >= SAMPLE_PERIOD:
            if sample.t != self._last:
                self._pending.append(sample)
            self._sampled, self._last = now, sample.t
        if self._pending and (flush or now - self._streamed >= STREAM_PERIOD):
            self._stream()
            self._streamed = now

    def _stream(self) -> None:
        samples, self._pending = self._pending, []
        for name, scale in (("energy", "energy_scale"), ("mass", "mass_scale")):
            values = [getattr(s, name) for s in samples if math.isfinite(getattr(s, name))]
            if values:
                self._widen(name, values, getattr(samples[0], scale))
        self._follow(samples)
        self._fresh = False
        columns: dict[str, Any] = {name: [getattr(s, name) for s in samples] for name in COLUMNS}
        for name in ("drift", "mass_drift"):
            columns[name] = [x if math.isnan(x) else max(x, FLOOR) for x in columns[name]]
        columns["residual"] = [x or math.nan for x in columns["residual"]]
        self.source.stream(columns, rollover=ROLLOVER)

    def _follow(self, samples: list[Sample]) -> None:
        """Show from the oldest kept sample to the newest."""
        kept = self.source.data["t"]
        first = max(0, len(kept) + len(samples) - ROLLOVER)
        start = kept[first] if first < len(kept) else samples[0].t
        end = max(samples[-1].t, start + 1e-9)
        self._ranges["t"].update(start=start, end=end)

    def _widen(self, name: str, values: list[float], scale: float) -> None:
        """Hold the values: in a stride where they leave the axis, around them when fresh."""
        low, high = min(values), max(values)
        bounds = self._bounds[name]
        if self._fresh:
            half, middle = max(RELATIVE_SPAN * scale, 1e-12) / 2, (low + high) / 2
            bounds = (min(low, middle - half), max(high, middle + half))
        bounds = grown(bounds, (low, high), signed=False)
        if self._fresh or bounds != self._bounds[name]:
            self._bounds[name] = bounds
            self._ranges[name].update(start=bounds[0], end=bounds[1])


_SHORT_NUMBER = """
const size = Math.abs(tick);
const plain = size === 0 || (size >= 1e-3 && size < 1e5);
const text = plain ? String(Number(tick.toPrecision(4))) : tick.toExponential(1);
return text.replace("e+", "e").replaceAll("-", "\u2212");
"""

_TITLES = {
    "energy": "Energy H",
    "drift": "Relative change",
    "mass": "Mass ∫u",
}


def _heading(title: str, legend: str) -> str:
    return (
        '<div style="display:flex;flex-wrap:wrap;justify-content:space-between;gap:2px 14px;'
        'font-size:13px;line-height:20px">'
        f'<span style="font-weight:600">{title}</span><span>{legend}</span></div>'
    )


def _key(colour: str, dash: str, name: str) -> str:
    return (
        f'<span style="display:inline-block;width:18px;border-top:2px {dash} {colour};'
        f'vertical-align:middle;margin:0 6px 0 12px"></span>{name}'
    )


def _figure(x_range: Range1d, y_range: Range1d, **options: Any) -> figure:
    fig = figure(
        height=HEIGHT,
        sizing_mode="stretch_width",
        tools="",
        toolbar_location=None,
        x_range=x_range,
        y_range=y_range,
        min_border_left=58,
        min_border_right=8,
        min_border_top=6,
        min_border_bottom=24,
        outline_line_color=None,
        background_fill_alpha=0,
        border_fill_alpha=0,
        output_backend="canvas",
        **options,
    )
    fig.xaxis.axis_line_alpha = fig.yaxis.axis_line_alpha = 0
    fig.axis.major_tick_line_alpha = fig.axis.minor_tick_line_alpha = 0
    return fig
