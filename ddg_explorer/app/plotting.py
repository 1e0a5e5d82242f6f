"""Bokeh figures of running curves in the page's style, with their headings and legends."""

from __future__ import annotations

from typing import Any

import panel as pn
from bokeh.plotting import figure

from ddg_explorer.app.theme import PALETTES, mode


def plain_figure(height: int, **options: Any) -> figure:
    """A figure without tools or frame, as wide as its place."""
    plain: dict[str, Any] = {
        "sizing_mode": "stretch_width",
        "tools": "",
        "toolbar_location": None,
        "min_border_left": 58,
        "min_border_right": 10,
        "min_border_top": 6,
        "outline_line_color": None,
        "background_fill_alpha": 0,
        "border_fill_alpha": 0,
        "output_backend": "canvas",
    }
    fig = figure(height=height, **{**plain, **options})
    fig.axis.axis_line_alpha = 0
    fig.axis.major_tick_line_alpha = fig.axis.minor_tick_line_alpha = 0
    fig.axis.axis_label_text_font_style = "normal"
    fig.axis.axis_label_text_font_size = "12px"
    fig.axis.major_label_text_font_size = "11px"
    return fig


def place(height: int) -> pn.pane.Bokeh:
    """Where a figure goes once it has data, which axes need to find their ranges."""
    return pn.pane.Bokeh(margin=0, min_height=height, sizing_mode="stretch_width")


def restyle_figure(fig: figure, dark: bool) -> None:
    """Ink and grid of the theme."""
    palette = PALETTES[mode(dark)]
    fig.axis.major_label_text_color = palette["muted"]
    fig.axis.axis_label_text_color = palette["muted"]
    fig.grid.grid_line_color = palette["grid"]


def heading(title: str, legend: str = "") -> str:
    """Title of a card on the left, its legend on the right."""
    return (
        '<div style="display:flex;flex-wrap:wrap;justify-content:space-between;gap:2px 14px;'
        'font-size:13px;line-height:20px">'
        f'<span style="font-weight:600">{title}</span><span>{legend}</span></div>'
    )


def key(colour: str, dash: str, name: str) -> str:
    """One entry of a legend."""
    return (
        f'<span style="display:inline-block;width:18px;border-top:2px {dash} {colour};'
        f'vertical-align:middle;margin:0 6px 0 12px"></span>{name}'
    )
