"""Running plots of all lanes: energies, drifts, mass, distance from the truth. Bokeh, up to 6 Hz.

One `ColumnDataSource` a lane, so a lane costs one message a time. Drifts are those of
`app.measures`, of the true H along every lane and, apart from it, of each model's own H. Log axes
have a fixed range whose floor lies below the last bit of a float64; linear ones widen in strides
instead of following every sample, and only with lanes that stay near the truth, so nothing jumps
while it plays and a lane that diverges hides nobody.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import panel as pn
from bokeh.models import (
    BasicTicker,
    CustomJSTickFormatter,
    FixedTicker,
    GlyphRenderer,
    Line,
    Range1d,
)
from bokeh.plotting import figure

from ddg_explorer.app.layout import card
from ddg_explorer.app.limits import grown
from ddg_explorer.app.plotting import heading, key, plain_figure
from ddg_explorer.app.theme import LANE_COLOURS, LANE_DASHES, PALETTES, lane_places, mode
from ddg_explorer.app.traces import FLOOR, LOGARITHMIC, STREAM_PERIOD, Trace
from ddg_explorer.app.turns import Sample

CEILING = 10.0
LANE_PERIOD = 1 / 10
"""Seconds a lane between two updates of its curves, so that many lanes cost no more than a few."""
HEIGHT = 152
RELATIVE_SPAN = 0.04
"""Least height of the energy and mass axes, relative to their scale: rounding looks flat."""
REACH = 1.0
"""Energies and masses farther than this many scales from the start do not widen the axes."""

TITLES = {
    "energy": "Energy H",
    "drift": "Relative change of H",
    "own_drift": "Relative change of each model’s own H",
    "mass": "Mass ∫u",
    "error": "Distance from the truth, relative",
}
"""Figure → heading."""


class RunningPlots:
    """Cards over one source a lane; `push` takes a sample a turn and streams now and then.

    A card has its final size from the start, and its figure once `draw` has been called.

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
        self._ticker = BasicTicker(desired_num_ticks=4)
        self._formatter = CustomJSTickFormatter(code=_SHORT_NUMBER)
        self._drawn: dict[str, dict[int | str, GlyphRenderer]] = {}
        self._heads = {name: pn.pane.HTML(margin=0, sizing_mode="stretch_width") for name in TITLES}
        self.cards = {
            name: card(
                head,
                pn.Spacer(height=HEIGHT, sizing_mode="stretch_width"),
                styles={"flex": "1 1 340px"},
            )
            for name, head in self._heads.items()
        }
        self.restyle(dark, has_mass=True)

    def draw(self) -> None:
        """Draw the figures that can be seen and are not there yet."""
        missing = [n for n, place in self.cards.items() if place.visible and n not in self._drawn]
        for name in missing:
            fig = self._figure(name)
            self._drawn[name] = self._curves(name, fig)
            self._colour()
            self.cards[name][1] = pn.pane.Bokeh(
                fig, height=HEIGHT, margin=0, sizing_mode="stretch_width"
            )

    @property
    def alone(self) -> bool:
        """Whether the true system is the only lane."""
        return len(self.models) == 1

    def restyle(self, dark: bool, *, has_mass: bool) -> None:
        """Colours of the theme, and the legend of what there is."""
        palette = PALETTES[mode(dark)]
        colours = [LANE_COLOURS[mode(dark)][place] for place in lane_places(self.models)]
        extra = {"mass_drift": LANE_COLOURS[mode(dark)][2], "residual": palette["faint"]}
        self._colours = {**dict(enumerate(colours)), **extra}
        self._has_mass = has_mass
        self._colour()
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
        logarithmic = name in LOGARITHMIC
        fig = plain_figure(
            HEIGHT,
            x_range=self._ranges["t"],
            y_range=Range1d(start=FLOOR, end=CEILING) if logarithmic else self._ranges[name],
            y_axis_type="log" if logarithmic else "linear",
            min_border_right=8,
            min_border_bottom=24,
        )
        fig.xaxis.update(ticker=self._ticker, formatter=self._formatter)
        if logarithmic:
            fig.yaxis.ticker = FixedTicker(ticks=[1e-16, 1e-12, 1e-8, 1e-4, 1.0])
        else:
            fig.yaxis.formatter = self._formatter
        return fig

    def _curves(self, name: str, fig: figure) -> dict[int | str, GlyphRenderer]:
        """A line of each lane that has something to show in this figure."""
        absent = {"own_drift": ("truth", "node"), "error": ("truth",)}.get(name, ())
        lines: dict[int | str, GlyphRenderer] = {
            lane: self._line(fig, lane, name, line_width=2, line_dash=LANE_DASHES[place])
            for lane, place in enumerate(lane_places(self.models))
            if self.models[lane] not in absent
        }
        if name == "drift" and self.alone:
            lines["mass_drift"] = self._line(
                fig, 0, "mass_drift", line_width=1.75, line_dash=[2, 3]
            )
            lines["residual"] = self._line(fig, 0, "residual", line_width=1.25, line_dash=[6, 4])
        return lines

    def _line(self, fig: figure, lane: int, column: str, **look: Any) -> GlyphRenderer:
        """One glyph: `figure.line` would add two more for selections, which there are none of."""
        return fig.add_glyph(
            self.traces[lane].source,
            Line(x="t", y=column, **look),
            view=self.traces[lane].view,
            nonselection_glyph=None,
            muted_glyph=None,
        )

    def _colour(self) -> None:
        for lines in self._drawn.values():
            for key_, line in lines.items():
                line.glyph.line_color = self._colours[key_]
                line.visible = self._has_mass or key_ != "mass_drift"


_SHORT_NUMBER = """
const size = Math.abs(tick);
const plain = size === 0 || (size >= 1e-3 && size < 1e5);
const text = plain ? String(Number(tick.toPrecision(4))) : tick.toExponential(1);
return text.replace("e+", "e").replaceAll("-", "\u2212");
"""
