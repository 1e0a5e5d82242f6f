"""One step, or a few, on the energy contours of the pendulum.

    H = ½p² + 1 − cos q,      q̇ = p,  ṗ = −sin q

The discrete-gradient step ends on the contour where it began; explicit Euler and RK2 do not. The
contours have a closed form, p = ±√(2(E − 1 + cos q)). Nondimensional.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import panel as pn
import torch
from bokeh.events import Tap
from bokeh.models import ColumnDataSource
from bokeh.plotting import figure

from ddg_explorer.app.numerals import number
from ddg_explorer.app.pages import markup
from ddg_explorer.app.pages.figures import pane, plain, restyle
from ddg_explorer.app.theme import LANE_COLOURS, PALETTES, mode
from ddg_explorer.app.widgets import NumberSlider
from ddg_explorer.integrators import INTEGRATORS
from ddg_explorer.simulation import simulate
from ddg_explorer.systems import SYSTEMS

SCHEMES = ("discrete_gradient", "midpoint", "euler")
MARKS = ("circle", "square", "triangle")
PLACES = (1, 2, 4)
"""Their colours among the lanes'."""
FINE = 0.01
"""Step of the reference motion: its error is then some 1e-9."""
START = (-1.2, 1.2)
Q_LIMIT, P_LIMIT = 4.0, 2.9
LEVELS = (0.1, 0.4, 0.9, 1.5, 2.0, 2.8, 3.8)


@dataclass(frozen=True)
class Walk:
    """States of a scheme from the start on, and what its last one cost.

    Attributes
    ----------
    states
        (frames, 2), the start first; fewer than asked for where a step failed.
    change
        H(end) − H(start).
    residual
        Largest of the implicit solves, 0 for an explicit scheme.
    reason
        "" or why it stopped.
    """

    states: np.ndarray
    change: float
    residual: float
    reason: str


def walk(start: tuple[float, float], dt: float, steps: int, scheme: str) -> Walk:
    """Steps of one scheme on the pendulum with m = g = 1."""
    system = SYSTEMS["pendulum"]()
    u0 = torch.tensor(start, dtype=torch.float64)
    run = simulate(system, u0, dt=dt, steps=steps, integrator=scheme)
    energy = run.energy
    return Walk(
        run.u.numpy(),
        float(energy[-1] - energy[0]),
        float(run.residual.max()),
        run.reason or "",
    )


def motion(start: tuple[float, float], t: float) -> tuple[float, float]:
    """(q, p) after time t, by the classical Runge–Kutta scheme in steps of at most `FINE`.

    In plain floats: a slider is waiting for it.
    """
    q, p = start
    count = max(1, math.ceil(t / FINE))
    h = t / count
    for _ in range(count):
        a, b = p, -math.sin(q)
        c, d = p + h / 2 * b, -math.sin(q + h / 2 * a)
        e, f = p + h / 2 * d, -math.sin(q + h / 2 * c)
        g, k = p + h * f, -math.sin(q + h * e)
        q, p = q + h / 6 * (a + 2 * c + 2 * e + g), p + h / 6 * (b + 2 * d + 2 * f + k)
    return q, p


def contour(energy: float) -> tuple[np.ndarray, np.ndarray]:
    """(q, p) of H = E for |q| ≤ `Q_LIMIT`: closed curves about every rest, or two open ones."""
    if energy >= 2:
        q = np.linspace(-Q_LIMIT, Q_LIMIT, 241)
        p = np.sqrt(2 * (energy - 1 + np.cos(q)).clip(0))
        return np.concatenate([q, [np.nan], q]), np.concatenate([p, [np.nan], -p])
    end = math.acos(1 - energy)
    # Dense near the turning points, where the curve is vertical.
    q = end * np.cos(np.linspace(0, 2 * math.pi, 241))
    sign = np.where(np.arange(241) <= 120, 1.0, -1.0)
    p = sign * np.sqrt(2 * (energy - 1 + np.cos(q)).clip(0))
    rings = [q + turn for turn in (-2 * math.pi, 0, 2 * math.pi)]
    gap = [np.nan]
    return np.concatenate([rings[0], gap, rings[1], gap, rings[2]]), np.concatenate(
        [p, gap, p, gap, p]
    )


def path_of(states: np.ndarray) -> dict[str, Any]:
    """Columns of a path, (frames, 2): whole turns are taken off an angle beyond `Q_LIMIT`.

    A step from one turn to another is drawn in both, with a gap between.
    """
    q, p = states[:, 0], states[:, 1]
    turns = np.where(np.abs(q) > Q_LIMIT, 2 * math.pi * np.round(q / (2 * math.pi)), 0.0)
    shown, heights = list(q[:1] - turns[:1]), list(p[:1])
    for n in range(1, len(q)):
        if turns[n] != turns[n - 1]:
            shown += [q[n] - turns[n - 1], math.nan, q[n - 1] - turns[n]]
            heights += [p[n], math.nan, p[n - 1]]
        shown.append(q[n] - turns[n])
        heights.append(p[n])
    return {"q": np.array(shown), "p": np.array(heights)}


class StepPicture:
    """The picture, its two sliders and its table of energies."""

    def __init__(self, dark: bool, words: Mapping[str, str]) -> None:
        self._dark, self._words = dark, words
        self.start = START
        self.dt = NumberSlider(
            lambda _: self._draw(), key="theory-dt", start=0.05, end=2.5, value=1.3, low=0.01
        )
        self.steps = NumberSlider(
            lambda _: self._draw(),
            key="theory-steps",
            start=1,
            end=12,
            high=24,
            value=1,
            scale="integer",
        )
        self._own = ColumnDataSource({"q": [], "p": []})
        self._here = ColumnDataSource({"q": [], "p": []})
        self._exact = ColumnDataSource({"q": [], "p": []})
        self._paths = [ColumnDataSource({"q": [], "p": []}) for _ in SCHEMES]
        self._ends = [ColumnDataSource({"q": [], "p": []}) for _ in SCHEMES]
        self._fig, self._glyphs = self._figure()
        self._key, self._table = markup.text(), markup.text()
        self.walks: dict[str, Walk] = {}
        self.view = pn.Column(
            self._key,
            pane(self._fig),
            pn.FlexBox(
                pn.Row(self.dt, styles={"flex": "1 1 180px"}),
                pn.Row(self.steps, styles={"flex": "1 1 140px"}),
                sizing_mode="stretch_width",
                gap="4px 20px",
            ),
            self._table,
            sizing_mode="stretch_width",
            styles={"gap": "8px"},
        )
        self._draw()
        self.reword(words)
        self.restyle(dark)

    def reword(self, words: Mapping[str, str]) -> None:
        """Labels in another language."""
        self._words = words
        self.dt.label, self.steps.label = words["dt"], words["steps"]
        self._fig.xaxis.axis_label, self._fig.yaxis.axis_label = (
            words["position"],
            words["momentum"],
        )
        self._show_words()

    def restyle(self, dark: bool) -> None:
        """Colours of the theme."""
        self._dark = dark
        restyle(self._fig, dark)
        palette, lanes = PALETTES[mode(dark)], LANE_COLOURS[mode(dark)]
        self._fig.grid.grid_line_color = None
        self._glyphs["levels"].line_color = palette["faint"]
        self._glyphs["own"].line_color = palette["muted"]
        self._glyphs["start"].fill_color = self._glyphs["start"].line_color = palette["ink"]
        self._glyphs["exact"].line_color = palette["ink"]
        for scheme, place in zip(SCHEMES, PLACES, strict=True):
            self._glyphs[scheme].line_color = lanes[place]
            end = self._glyphs[f"{scheme} end"]
            end.fill_color, end.line_color = lanes[place], palette["surface"]
        self._show_words()

    def _figure(self) -> tuple[figure, dict[str, Any]]:
        fig = plain(380, (-Q_LIMIT, Q_LIMIT), (-P_LIMIT, P_LIMIT))
        curves: list[Any] = [contour(level) for level in LEVELS]
        glyphs: dict[str, Any] = {
            "levels": fig.multi_line(
                [q for q, _ in curves], [p for _, p in curves], line_alpha=0.45
            ).glyph,
            "own": fig.line("q", "p", source=self._own, line_width=2.5).glyph,
        }
        for scheme, path in zip(SCHEMES, self._paths, strict=True):
            glyphs[scheme] = fig.line("q", "p", source=path, line_width=2, line_dash=[5, 4]).glyph
        glyphs["exact"] = fig.scatter(
            "q", "p", source=self._exact, size=15, fill_alpha=0, line_width=1.5
        ).glyph
        for scheme, marker, end in zip(SCHEMES, MARKS, self._ends, strict=True):
            glyphs[f"{scheme} end"] = fig.scatter(
                "q", "p", source=end, marker=marker, size=12, line_width=1.5
            ).glyph
        glyphs["start"] = fig.scatter("q", "p", source=self._here, size=9).glyph
        fig.on_event(Tap, self._tapped)
        return fig, glyphs

    def _tapped(self, event: Any) -> None:
        if event.x is not None and abs(event.x) <= Q_LIMIT and abs(event.y) <= P_LIMIT:
            self.start = (float(event.x), float(event.y))
            self._draw()

    def _draw(self) -> None:
        dt, steps = float(self.dt.value), int(self.steps.value)
        self.walks = {s: walk(self.start, dt, steps, s) for s in SCHEMES}
        q0, p0 = self.start
        q, p = contour(p0**2 / 2 + 1 - math.cos(q0))
        self._own.data = {"q": q, "p": p}
        self._here.data = {"q": [q0], "p": [p0]}
        self._exact.data = path_of(np.array([motion(self.start, dt * steps)]))
        for scheme, path, end in zip(SCHEMES, self._paths, self._ends, strict=True):
            found = self.walks[scheme]
            path.data = path_of(found.states)
            end.data = path_of(found.states[-1:] if not found.reason else found.states[:0])
        self._show_words()

    def _show_words(self) -> None:
        if not self.walks:
            return
        words, lanes = self._words, LANE_COLOURS[mode(self._dark)]
        ink = PALETTES[mode(self._dark)]["ink"]
        drawn = [(markup.mark("circle", ink), words["start"])]
        drawn.append((markup.mark("circle", ink, filled=False), words["exact"]))
        rows = []
        for scheme, shape, place in zip(SCHEMES, MARKS, PLACES, strict=True):
            found, title = self.walks[scheme], words[scheme]
            drawn.append((markup.mark(shape, lanes[place]), title))
            implicit = INTEGRATORS[scheme].implicit
            rows.append(
                [
                    title,
                    words["failed"] if found.reason else number(found.change),
                    number(found.residual, 2) if implicit else "–",
                ]
            )
        self._key.object = markup.key(*drawn)
        head = [words["scheme"], words["change"], words["residual"]]
        self._table.object = markup.table(head, rows, numbers=(1, 2), label=words["change"])
