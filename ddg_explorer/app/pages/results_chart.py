"""Errors on a log axis, one line a row: a dot per seed, their mean, and the published mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ddg_explorer.app.numerals import number
from ddg_explorer.app.pages import figures
from ddg_explorer.app.pages.palette import model_colour, model_marker
from ddg_explorer.app.pages.published_rows import METRIC_TITLES, Row
from ddg_explorer.app.theme import PALETTES, mode

LINE = 46
"""Pixels a row."""
TICK = 0.22
"""Half the height of the tick at the mean, in lines."""
HOVER: dict[str, Any] = {
    "tools": ["hover"],
    "hover_tooltips": [("", "@row"), ("", "@what"), ("", "@value")],
    "backend": "bokeh",
}
MARGIN = 0.03
"""Of the axis, beyond the decades: marks have a width, also on a phone."""
OFFSET = 0.24
"""Lines by which the published mark lies below ours, so that neither hides the other."""


def metric_chart(rows: Sequence[Row], metric: str, dark: bool) -> Any:
    """A Bokeh figure of one metric; None where no row has a value."""
    low, high = _span(rows, metric)
    if high == 0:
        return None
    hv = figures.holoviews()
    parts = [*_ours(hv, rows, metric, dark), *_published(hv, rows, metric, dark)]
    gone = [(high, -place, "diverged") for place, row in enumerate(rows) if row.lost(metric)]
    if gone:
        words = hv.Labels(gone, ["x", "y"], "text")
        parts.append(
            words.opts(
                text_color=PALETTES[mode(dark)]["bad"],
                text_font_size="12px",
                text_align="right",
                backend="bokeh",
            )
        )
    margin = (high / low) ** MARGIN
    labels = [(-place, f"{row.title}\n{row.budget_title}") for place, row in enumerate(rows)]
    chart = hv.Overlay(parts).opts(
        logx=True,
        responsive=True,
        height=LINE * len(rows) + 62,
        xlim=(low / margin, high * margin),
        ylim=(-len(rows) + 0.4, 0.6),
        yticks=labels,
        xlabel=f"{METRIC_TITLES[metric]} (nondimensional)",
        ylabel="",
        show_legend=False,
        show_grid=True,
        backend="bokeh",
    )
    fig = figures.render(chart, dark)
    fig.ygrid.grid_line_color = None
    fig.yaxis.major_label_text_color = PALETTES[mode(dark)]["ink"]
    return fig


def _span(rows: Sequence[Row], metric: str) -> tuple[float, float]:
    """Whole decades around all values, (0, 0) for none."""
    values = [row.published[metric] for row in rows if metric in row.published]
    for row in rows:
        if metric in row.figures and not row.lost(metric):
            values += [x for x in row.figures[metric].seeds if x]
    values = [x for x in values if x > 0 and math.isfinite(x)]
    if not values:
        return 0.0, 0.0
    low, high = math.log10(min(values)), math.log10(max(values))
    return 10.0 ** math.floor(low - 0.15), 10.0 ** math.ceil(high + 0.15)


def _ours(hv: Any, rows: Sequence[Row], metric: str, dark: bool) -> list[Any]:
    """Dots of the seeds; where there are several, the line between them and a tick at the mean."""
    dots, lines, ticks = [], [], []
    for place, row in enumerate(rows):
        found = row.figures.get(metric)
        if found is None or row.lost(metric):
            continue
        colour, y = model_colour(row.model, dark), -place
        pairs = [(x, seed) for x, seed in zip(found.seeds, row.seeds, strict=True) if x]
        look = (colour, model_marker(row.model))
        dots += [(x, y, *look, row.title, f"seed {seed}", number(x)) for x, seed in pairs]
        if len(pairs) > 1 and found.mean:
            ends = [x for x, _ in pairs]
            lines.append((min(ends), y, max(ends), y, colour))
            ticks.append((found.mean, y - TICK, found.mean, y + TICK, colour))
    parts = [
        hv.Segments(segments, ["x", "y", "x1", "y1"], "colour").opts(
            color="colour", alpha=alpha, line_width=width, backend="bokeh"
        )
        for segments, alpha, width in ((lines, 0.45, 2), (ticks, 1.0, 2.5))
        if segments
    ]
    if dots:
        points = hv.Points(dots, ["x", "y"], ["colour", "marker", "row", "what", "value"])
        parts.append(
            points.opts(color="colour", marker="marker", size=10, fill_alpha=0.75, **HOVER)
        )
    return parts


def _published(hv: Any, rows: Sequence[Row], metric: str, dark: bool) -> list[Any]:
    dots = [
        (
            row.published[metric],
            -place - (OFFSET if row.budget else 0),
            row.title,
            "published mean of 15 trials",
            number(row.published[metric]),
        )
        for place, row in enumerate(rows)
        if metric in row.published
    ]
    if not dots:
        return []
    points = hv.Points(dots, ["x", "y"], ["row", "what", "value"])
    ink = PALETTES[mode(dark)]["muted"]
    look = {"line_color": ink, "color": ink, "fill_alpha": 0.0, "line_width": 1.6}
    return [points.opts(marker="diamond", size=11, **look, **HOVER)]
