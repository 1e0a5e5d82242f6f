"""Running plots of all lanes: energies, drifts, mass, distance from the truth; up to 8 Hz.

A Panel component around `js/curves.js`: one message for all lanes and all charts each time. Bokeh
figures, which these were, cost the browser six milliseconds of every frame and the page a second of
its load.

Drifts are those of `app.measures`, of the true H along every lane and, apart from it, of each
model's own H. Log axes have a fixed range down to below the last bit of a float64, and zeros stand
on a floor below that of the lanes' number format; linear ones widen in strides instead of following
every sample, and only with lanes that stay near the truth, so nothing jumps while it plays and a
lane that diverges hides nobody.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import param
import torch

from ddg_explorer.app.cadence import Cadence
from ddg_explorer.app.changes import put
from ddg_explorer.app.component import Component, packed, script, style
from ddg_explorer.app.limits import grown
from ddg_explorer.app.looks import Look, lane_looks
from ddg_explorer.app.plotting import heading, key
from ddg_explorer.app.theme import PALETTES, mode
from ddg_explorer.app.traces import COLUMNS, FLOOR, LOGARITHMIC, ROLLOVER, Trace
from ddg_explorer.app.turns import Sample

CEILING = 10.0
ZERO_AT = {torch.float64: FLOOR, torch.float32: 1e-8}
"""Where zeros stand on log axes: below the last bit, so that rounding does not fill the chart."""
MARGIN = 0.5
"""Decades below the lowest floor, so that a curve along it is seen whole."""
SEND_PERIOD = 1 / 8
SEND_FRAMES = 2
"""A message costs little, so it may follow soon where frames are slow."""
RELATIVE_SPAN = 0.04
"""Least height of the energy and mass axes, relative to their scale: rounding looks flat."""
REACH = 1.0
"""Energies and masses farther than this many scales from the start do not widen the axes."""

EMPTY = 1.0
"""Time that the axes span where nothing has moved yet."""

TITLES = {
    "energy": "Energy H",
    "drift": "Relative change of H",
    "own_drift": "Relative change of each model’s own H",
    "mass": "Mass ∫{mass}",
    "error": "Distance from the true system, relative",
}
"""Chart, and column of what it shows → heading; `mass` is the letter of a field's first channel."""
ALONE = "Relative change"
"""Of a true system without others: its chart of drifts holds more than that of H."""


class RunningPlots(Component):
    """Charts over one trace a lane; `push` takes a sample a turn and sends now and then.

    Parameters
    ----------
    models
        Key of each lane's model, "truth" first.
    dark
        Whether the theme is dark.
    """

    charts = param.List([], doc="Of each: name, title, head (HTML), decades or None, and lines.")
    shape = param.Dict(
        {"columns": len(COLUMNS), "rollover": ROLLOVER, "zero": FLOOR},
        doc="Shape of a lane's samples, and what zeros of logarithmic columns come as.",
    )
    palette = param.Dict({})
    stacked = param.Boolean(False, doc="Whether the charts stand one below the other.")

    _esm = script("draw", "curves")
    _stylesheets: ClassVar[list[str]] = [style("curves")]

    def __init__(self, models: Sequence[str], dark: bool, **params: Any) -> None:
        super().__init__(**{"sizing_mode": "stretch_width", **params})
        self.models = list(models)
        self.traces = [Trace() for _ in models]
        self._cadence = Cadence(SEND_PERIOD, SEND_FRAMES)
        self._round: set[int] = set()
        self._bounds: dict[str, tuple[float, float]] = {}
        self.on_msg(self._receive)
        self.restyle(dark, mass="u", dtype=torch.float64)

    @property
    def alone(self) -> bool:
        """Whether the true system is the only lane."""
        return len(self.models) == 1

    def restyle(self, dark: bool, *, mass: str, dtype: torch.dtype) -> None:
        """Colours of the theme, and the charts of what there is in this number format.

        `mass` is the letter of a field's first channel, "" for an ODE.
        """
        decades = [math.log10(FLOOR) - MARGIN, math.log10(CEILING)]
        charts = []
        for name, title in TITLES.items():
            title = title.format(mass=mass)
            lines, legend = self._lines(name, dark, bool(mass)), ""
            if name == "drift" and self.alone:
                further, legend = self._beside_the_drift(dark, bool(mass))
                lines, title = lines + further, ALONE
            if lines:
                limits = decades if name in LOGARITHMIC else None
                head = heading(title, legend)
                chart = {"name": name, "title": title, "head": head, "decades": limits}
                charts.append({**chart, "floor": ZERO_AT[dtype], "lines": lines})
        put(self, charts=charts, palette=dict(PALETTES[mode(dark)]))

    def _lines(self, name: str, dark: bool, has_mass: bool) -> list[dict[str, Any]]:
        """A line of each lane that has something to show in a chart."""
        absent = {"own_drift": ("truth", "node"), "error": ("truth",)}.get(name, ())
        if name == "mass" and not has_mass:
            return []
        return [
            _line(lane, name, look.colour(dark), 2, look.dash)
            for lane, look in enumerate(lane_looks(self.models))
            if self.models[lane] not in absent
        ]

    def _beside_the_drift(self, dark: bool, has_mass: bool) -> tuple[list[dict[str, Any]], str]:
        """Of the true system alone: lines of mass and residual, and the legend of all."""
        muted, faint = (PALETTES[mode(dark)][name] for name in ("muted", "faint"))
        lines, legend = [], key(Look(0).colour(dark), "solid", "energy")
        if has_mass:
            lines.append(_line(0, "mass_drift", muted, 1.75, [2, 3]))
            legend += key(muted, "dotted", "mass")
        lines.append(_line(0, "residual", faint, 1.25, [6, 4]))
        return lines, legend + key(faint, "dashed", "residual")

    def push(self, lane: int, sample: Sample, epoch: int, *, flush: bool = False) -> None:
        """Note a lane's sample; send those noted when it is time, or at once with `flush`.

        A new epoch means that time began anew: the lane's old curve goes.
        """
        trace = self.traces[lane]
        anew = epoch != trace.epoch
        if anew:
            trace.begin(epoch)
            if lane == 0:
                self._bounds.clear()
        now = trace.note(sample, always=flush) or flush or anew
        turn = not self._round or lane in self._round  # the first lane of a turn counts it
        if turn:
            self._round.clear()
        self._round.add(lane)
        if (turn or now) and self._cadence.due(now=now):
            self._send()

    def _send(self) -> None:
        lanes = []
        for lane, trace in enumerate(self.traces):
            if samples := trace.take():
                self._widen("energy", samples)
                self._widen("mass", samples)
                kept, rows = trace.append(samples)
                lanes.append([lane, kept, packed(rows)])
        if lanes:
            self._send_msg({"lanes": lanes, "limits": self._limits()})

    def _receive(self, event: Any) -> None:
        """A browser that is ready knows nothing yet."""
        if "ready" in event.data:
            lanes = [
                [lane, 0, packed(trace.rows.tobytes())] for lane, trace in enumerate(self.traces)
            ]
            self._send_msg({"lanes": lanes, "limits": self._limits()})

    def _limits(self) -> dict[str, list[float]]:
        """Of the linear axes; time runs from the oldest kept sample of any lane to the newest."""
        spans = [trace.span for trace in self.traces if trace.span is not None]
        start = min((span[0] for span in spans), default=0.0)
        end = max((span[1] for span in spans), default=0.0)
        limits = {name: list(bounds) for name, bounds in self._bounds.items()}
        return {"t": [start, end if end > start else start + EMPTY], **limits}

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
        self._bounds[name] = grown(bounds, (min(values), max(values)), signed=False)


def _line(lane: int, column: str, colour: str, width: float, dash: list[int]) -> dict[str, Any]:
    return {
        "lane": lane,
        "column": COLUMNS.index(column),
        "colour": colour,
        "width": width,
        "dash": dash,
    }
