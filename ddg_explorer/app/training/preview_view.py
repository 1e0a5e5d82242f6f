"""What a model in training predicts, drawn: profile, phase plane or field, and its error."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import (
    BasicTicker,
    BasicTickFormatter,
    ColumnDataSource,
    DataRange1d,
    FixedTicker,
    LinearColorMapper,
    Range1d,
)
from bokeh.plotting import figure

from ddg_explorer.app import texts
from ddg_explorer.app.plotting import heading, key, place, plain_figure, restyle_figure
from ddg_explorer.app.theme import LANE_COLOURS, MODEL_ORDER, colour_table, mode

HEIGHT = 200
FIELD = 170
FLOOR = 1e-8
FIELDS = ("truth", "model", "difference")
TITLES = {"truth": "true", "model": "model", "difference": "difference, same colours"}


class PreviewView:
    """Truth and model at the end of a short rollout, and the error on the way there."""

    def __init__(self, dark: bool) -> None:
        self._dark, self._model, self._shown = dark, "dgnet", None
        self._places: list[tuple[pn.pane.Bokeh, figure]] = []
        self._curves = ColumnDataSource({"x": [], "y": []})
        self._truth = ColumnDataSource({"x": [], "y": []})
        self._error = ColumnDataSource({"t": [], "error": []})
        self._lines: figure = plain_figure(HEIGHT)
        self._true_line = self._lines.line("x", "y", source=self._truth, line_width=2)
        self._line = self._lines.line("x", "y", source=self._curves, line_width=2, line_dash=[6, 3])
        self._errors: figure = plain_figure(
            HEIGHT, y_axis_type="log", y_range=Range1d(start=FLOOR, end=10.0), x_range=DataRange1d()
        )
        self._errors.xaxis.axis_label, self._errors.yaxis.axis_label = "t", "relative error"
        self._errors.yaxis.ticker = FixedTicker(ticks=[1e-8, 1e-6, 1e-4, 1e-2, 1.0])
        self._errors.xaxis.ticker = BasicTicker(desired_num_ticks=3)
        self._errors.xaxis.formatter = BasicTickFormatter(use_scientific=False)
        self._error_line = self._errors.line("t", "error", source=self._error, line_width=2)
        self._mapper = LinearColorMapper(low=0, high=255)
        self._images = {name: ColumnDataSource(_no_image()) for name in FIELDS}
        self._field_figures: list[figure] = []
        fields = [self._field(name) for name in FIELDS]
        self._head = pn.pane.HTML(margin=0, sizing_mode="stretch_width")
        self._caption = pn.pane.HTML("", margin=0, sizing_mode="stretch_width", min_height=40)
        self._curve_panel = _grow(self._place(self._lines, HEIGHT), "2 1 260px")
        self._field_panel = pn.FlexBox(
            *fields, sizing_mode="stretch_width", gap="8px", visible=False
        )
        self._field_panel.styles = {"flex": "2 1 360px", "min-width": "0"}
        body = pn.FlexBox(
            self._curve_panel,
            self._field_panel,
            _grow(self._place(self._errors, HEIGHT), "1 1 220px"),
            sizing_mode="stretch_width",
            gap="8px 16px",
        )
        self.panel = pn.Column(self._head, body, self._caption, sizing_mode="stretch_width")
        self.restyle(dark)
        self.show(None, "dgnet")

    def restyle(self, dark: bool) -> None:
        """Colours of the theme."""
        self._dark = dark
        colours = LANE_COLOURS[mode(dark)]
        colour = colours[MODEL_ORDER.index(self._model)]
        self._true_line.glyph.line_color = colours[0]
        self._line.glyph.line_color = self._error_line.glyph.line_color = colour
        for fig in (self._lines, self._errors):
            restyle_figure(fig, dark)
        table = np.frombuffer(colour_table("diverging", dark), np.uint8).reshape(256, 4)
        self._mapper.palette = ["#" + bytes(row[:3]).hex() for row in table]
        legend = key(colours[0], "solid", "true") + key(colour, "dashed", "model")
        self._head.object = heading("Rollout of the present model", legend)

    def show(self, preview: Mapping[str, Any] | None, model: str) -> None:
        """Draw a preview of `work`; None: none yet."""
        if model != self._model:
            self._model = model
            self.restyle(self._dark)
        if preview is None:
            self._shown = None
            self._clear()
            return
        if preview is self._shown:
            return
        self._shown = preview
        field = preview["kind"] == "field"
        self._curve_panel.visible, self._field_panel.visible = not field, field
        if field:
            self._draw_fields(preview)
        else:
            self._draw_lines(preview)
        errors = [max(e, FLOOR) for e in preview["errors"][1:]]
        self._error.data = {"t": preview["times"][1:], "error": errors}
        self._caption.object = texts.paragraph(_caption(preview), small=True)
        drawn = self._field_figures if field else [self._lines]
        drawn = [*drawn, self._errors] if errors else drawn
        for pane, fig in self._places:
            pane.object = fig if fig in drawn else None

    def _clear(self) -> None:
        for pane, _ in self._places:
            pane.object = None
        for source in (self._curves, self._truth):
            source.data = {"x": [], "y": []}
        self._error.data = {"t": [], "error": []}
        for source in self._images.values():
            source.data = _no_image()
        self._caption.object = ""

    def _draw_lines(self, preview: Mapping[str, Any]) -> None:
        profile = preview["kind"] == "profile"
        self._lines.xaxis.axis_label = "x" if profile else "q"
        for source, name in ((self._truth, "truth"), (self._curves, "model")):
            x, y = (preview["x"], preview[name]) if profile else preview[name]
            source.data = {"x": x, "y": y}

    def _draw_fields(self, preview: Mapping[str, Any]) -> None:
        rows, columns = preview["shape"]
        for name, source in self._images.items():
            image = np.frombuffer(base64.b64decode(preview[name]), np.uint8)
            image = image.reshape(rows, columns)
            source.data = {"image": [image], "dw": [columns], "dh": [rows]}

    def _place(self, fig: figure, height: int) -> pn.pane.Bokeh:
        found = place(height)
        self._places.append((found, fig))
        return found

    def _field(self, name: str) -> pn.Column:
        fig = plain_figure(FIELD, match_aspect=True, x_range=DataRange1d(), y_range=DataRange1d())
        fig.axis.visible = fig.grid.visible = False
        fig.min_border_left = fig.min_border_right = 0
        how: dict[str, Any] = {"dw": "dw", "dh": "dh", "color_mapper": self._mapper}
        fig.image("image", x=0, y=0, source=self._images[name], **how)
        title = pn.pane.HTML(texts.paragraph(TITLES[name], small=True), margin=0)
        self._field_figures.append(fig)
        styles = {"flex": "1 1 100px", "min-width": "0"}
        return pn.Column(title, self._place(fig, FIELD), styles=styles)


def _no_image() -> dict[str, Any]:
    return {"image": [], "dw": [], "dh": []}


def _grow(pane: pn.pane.Bokeh, flex: str) -> pn.Column:
    return pn.Column(pane, styles={"flex": flex, "min-width": "0"})


def _caption(preview: Mapping[str, Any]) -> str:
    """From where, how far it came, and how wrong it is."""
    t, end = preview["t"], preview["t_end"]
    error = preview["errors"][-1]
    line = f"Step {preview['step']}, from a {preview['source']}. "
    line += f"At t = {t:.4g}: relative error {error:.2g}"
    if preview["kind"] == "field":
        line += f", largest difference {preview['span']:.2g} of colours ±{preview['half']:.2g}"
    if preview["reason"]:
        line += f". The rollout {preview['reason']}"
    elif t < 0.999 * end:
        line += f"; a quick look, not yet up to t = {end:.4g}"
    return line + "."
