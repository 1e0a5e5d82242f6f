"""Secant and tangent of an activation, and the digits that the plain quotient loses.

    slope(v, u) = (σ(v) − σ(u))/(v − u),      σ′(u) at v = u

The closed forms of `discrete` in float64 are the reference: accurate to 5e-15 where the slope does
not pass through zero. Nondimensional.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import panel as pn
import torch
from bokeh.events import Pan, PanStart
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

from ddg_explorer.app.numerals import number
from ddg_explorer.app.pages import markup
from ddg_explorer.app.pages.figures import pane, plain, restyle
from ddg_explorer.app.theme import LANE_COLOURS, PALETTES, mode
from ddg_explorer.app.widgets import Choice, NumberSlider
from ddg_explorer.discrete import ACTIVATIONS, secant

REACH = 4.0
NEAREST, FARTHEST = 1e-16, 4.0
FLOOR = 1e-17
"""Where an error of zero is drawn."""
WAYS = ("quotient64", "quotient32", "closed32")
MARKS = ("square", "triangle", "circle")
PLACES = (2, 4, 1)
"""Their colours among the lanes'."""


@dataclass(frozen=True)
class Slopes:
    """Slopes between ends, closed and as a quotient, and relative errors against the first.

    A quotient of equal ends is not a number; neither is an error relative to a slope of zero.
    """

    closed64: np.ndarray
    values: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]


def slopes(name: str, v: np.ndarray, u: np.ndarray) -> Slopes:
    """All ways to find the slope of an activation; a float32 way sees ends rounded to float32, and
    is held against the closed form between those."""
    ends = (torch.as_tensor(v, dtype=torch.float64), torch.as_tensor(u, dtype=torch.float64))
    short = (ends[0].float(), ends[1].float())
    closed = secant(name, *ends)
    rounded = secant(name, short[0].double(), short[1].double())
    found = {
        "quotient64": (_quotient(name, *ends), closed),
        "quotient32": (_quotient(name, *short).double(), rounded),
        "closed32": (secant(name, *short).double(), rounded),
    }
    errors = {}
    for way, (value, reference) in found.items():
        error = ((value - reference) / reference).abs()
        errors[way] = torch.where(error.isfinite(), error, math.nan).numpy()
    return Slopes(closed.numpy(), {way: value.numpy() for way, (value, _) in found.items()}, errors)


def _quotient(name: str, v: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    sigma = ACTIVATIONS[name]
    return (sigma(v) - sigma(u)) / (v - u)


class SecantPicture:
    """The activation with its two lines, the errors over the distance, and the controls."""

    def __init__(self, dark: bool, words: Mapping[str, str]) -> None:
        self._dark, self._words = dark, words
        self._held: str | None = None
        self.activation = Choice(
            words["activation"], {name: name for name in ACTIVATIONS}, lambda _: self._draw()
        )
        self.u = _end("u", -0.6, self._moved)
        self.v = _end("v", 1.8, self._moved)
        self.distance = NumberSlider(
            self._approached,
            key="theory-distance",
            start=NEAREST,
            end=FARTHEST,
            value=2.4,
            scale="log",
        )
        self._sources = {
            name: ColumnDataSource({"x": [], "y": []})
            for name in ("curve", "chord", "tangent", "ends", *WAYS, *(f"{w} here" for w in WAYS))
        }
        self._glyphs: dict[str, Any] = {}
        self._lines, self._errors = self._lines_figure(), self._errors_figure()
        self._line_key, self._error_key, self._table = (markup.text() for _ in range(3))
        self.view = pn.Column(
            self._line_key,
            pane(self._lines),
            pn.FlexBox(
                pn.Row(self.activation.widget, styles={"flex": "1 1 150px"}),
                pn.Row(self.u, styles={"flex": "1 1 150px"}),
                pn.Row(self.v, styles={"flex": "1 1 150px"}),
                sizing_mode="stretch_width",
                gap="4px 20px",
            ),
            sizing_mode="stretch_width",
            styles={"gap": "8px"},
        )
        self.error_view = pn.Column(
            self._error_key,
            pane(self._errors),
            sizing_mode="stretch_width",
            styles={"gap": "8px"},
        )
        self.numbers = pn.Column(
            self.distance, self._table, sizing_mode="stretch_width", styles={"gap": "8px"}
        )
        self._draw()
        self.reword(words)
        self.restyle(dark)

    def reword(self, words: Mapping[str, str]) -> None:
        """Labels in another language."""
        self._words = words
        self.activation.widget.label = words["activation"]
        self.u.label, self.v.label = words["u"], words["v"]
        self.distance.label = words["distance"]
        self._errors.xaxis.axis_label, self._errors.yaxis.axis_label = "|v − u|", words["error"]
        self._show_words()

    def restyle(self, dark: bool) -> None:
        """Colours of the theme."""
        self._dark = dark
        for fig in (self._lines, self._errors):
            restyle(fig, dark)
        palette, lanes, glyphs = PALETTES[mode(dark)], LANE_COLOURS[mode(dark)], self._glyphs
        glyphs["curve"].line_color = palette["faint"]
        glyphs["chord"].line_color, glyphs["tangent"].line_color = lanes[1], lanes[2]
        glyphs["ends"].fill_color, glyphs["ends"].line_color = lanes[1], palette["surface"]
        for way, place in zip(WAYS, PLACES, strict=True):
            glyphs[way].line_color = lanes[place]
            here = glyphs[f"{way} here"]
            here.fill_color, here.line_color = lanes[place], palette["surface"]
        self._show_words()

    def _lines_figure(self) -> figure:
        fig = plain(300, (-REACH - 0.5, REACH + 0.5), (-1.6, 1.6))
        source, glyphs = self._sources, self._glyphs
        glyphs["curve"] = fig.line("x", "y", source=source["curve"], line_width=3).glyph
        glyphs["tangent"] = fig.line(
            "x", "y", source=source["tangent"], line_width=2, line_dash=[6, 4]
        ).glyph
        glyphs["chord"] = fig.line("x", "y", source=source["chord"], line_width=2.5).glyph
        glyphs["ends"] = fig.scatter("x", "y", source=source["ends"], size=13, line_width=2).glyph
        fig.on_event(PanStart, self._grasped)
        fig.on_event(Pan, self._dragged)
        return fig

    def _errors_figure(self) -> figure:
        axes = {"x_axis_type": "log", "y_axis_type": "log"}
        fig = plain(300, (4 * FARTHEST, NEAREST / 2), (FLOOR / 2, 1e2), **axes)
        for way, marker in zip(WAYS, MARKS, strict=True):
            self._glyphs[way] = fig.line("x", "y", source=self._sources[way], line_width=2).glyph
            self._glyphs[f"{way} here"] = fig.scatter(
                "x", "y", source=self._sources[f"{way} here"], marker=marker, size=11
            ).glyph
        return fig

    def _grasped(self, event: Any) -> None:
        """Take the end that is nearer to the pointer."""
        self._held = min("uv", key=lambda name: abs(event.x - getattr(self, name).value))

    def _dragged(self, event: Any) -> None:
        if self._held is not None:
            getattr(self, self._held).value = float(np.clip(event.x, -REACH, REACH))
            self._moved(0.0)

    def _moved(self, _: float) -> None:
        distance = abs(self.v.value - self.u.value)
        self.distance.value = max(distance, NEAREST)
        self._draw()

    def _approached(self, distance: float) -> None:
        """Move v along its side of u, or on the other one where that leaves the axis."""
        u, side = self.u.value, self._side
        self.v.value = u + (side if abs(u + side * distance) <= REACH else -side) * distance
        self._draw()

    @property
    def _side(self) -> int:
        """1 where v lies at or above u, else −1."""
        return 1 if self.v.value >= self.u.value else -1

    def _draw(self) -> None:
        name, u, v = self.activation.value, float(self.u.value), float(self.v.value)
        sigma = ACTIVATIONS[name]
        x = np.linspace(-REACH - 0.5, REACH + 0.5, 361)
        y = sigma(torch.as_tensor(x)).numpy()
        ends = sigma(torch.tensor([u, v], dtype=torch.float64)).numpy()
        here = slopes(name, np.array([v, u]), np.array([u, u]))
        chord, tangent = here.closed64
        self._sources["curve"].data = {"x": x, "y": y}
        self._sources["ends"].data = {"x": [u, v], "y": ends}
        self._sources["chord"].data = {"x": x, "y": ends[0] + chord * (x - u)}
        self._sources["tangent"].data = {"x": x, "y": ends[0] + tangent * (x - u)}
        margin = 0.25 * max(float(np.ptp(y)), 0.1)
        self._lines.y_range.update(start=float(y.min()) - margin, end=float(y.max()) + margin)
        distances = np.logspace(math.log10(FARTHEST), math.log10(NEAREST), 161)
        far = slopes(name, u + self._side * distances, np.full_like(distances, u))
        for way in WAYS:
            self._sources[way].data = {"x": distances, "y": far.errors[way].clip(FLOOR)}
            at = {"x": [max(abs(v - u), NEAREST)], "y": [max(here.errors[way][0], FLOOR)]}
            self._sources[f"{way} here"].data = at
        self._here, self._slopes = here, (chord, tangent)
        self._show_words()

    def _show_words(self) -> None:
        words, lanes = self._words, LANE_COLOURS[mode(self._dark)]
        chord, tangent = (number(float(x), 5) for x in self._slopes)
        self._line_key.object = markup.key(
            (markup.mark("line", PALETTES[mode(self._dark)]["faint"]), words["curve"]),
            (markup.mark("line", lanes[1]), f"{words['chord']}: {chord}"),
            (markup.mark("dashed", lanes[2]), f"{words['tangent']}: {tangent}"),
        )
        self._error_key.object = markup.key(
            *(
                (markup.mark(shape, lanes[place]), words[way])
                for way, shape, place in zip(WAYS, MARKS, PLACES, strict=True)
            )
        )
        closed = number(float(self._here.closed64[0]), 15)
        rows = [[words["closed64"], closed, words["reference"]]]
        for way in WAYS:
            value, error = self._here.values[way][0], self._here.errors[way][0]
            shown = number(float(value), 15 if way.endswith("64") else 8)
            known = number(float(error), 2) if math.isfinite(error) else "–"
            rows.append([words[way], shown if value == value else "0/0", known])
        head = [words["slope"], words["value"], words["error"]]
        self._table.object = markup.table(head, rows, numbers=(1, 2), label=words["slope"])


def _end(name: str, value: float, moved: Any) -> NumberSlider:
    return NumberSlider(
        moved,
        key=f"theory-{name}",
        start=-REACH,
        end=REACH,
        value=value,
    )
