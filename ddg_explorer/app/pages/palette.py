"""Colour, marker and name of each model, the same in every picture of it."""

from __future__ import annotations

from ddg_explorer.app.theme import LANE_COLOURS, MODEL_ORDER, mode
from ddg_explorer.models import MODELS

MARKERS = ("diamond", "circle", "square", "triangle", "inverted_triangle", "hex", "star")
"""Bokeh markers in the order of `MODEL_ORDER`."""


def model_colour(name: str, dark: bool) -> str:
    """Colour of a model, or of "truth"; ValueError for an unknown one."""
    return LANE_COLOURS[mode(dark)][_place(name)]


def model_marker(name: str) -> str:
    """Bokeh marker of a model, or of "truth"; ValueError for an unknown one."""
    return MARKERS[_place(name)]


def model_title(name: str) -> str:
    """What pages call it; ValueError for an unknown one."""
    _place(name)
    return "True system" if name == "truth" else MODELS[name].title


def _place(name: str) -> int:
    if name not in MODEL_ORDER:
        raise ValueError(f"model={name!r}: use one of {', '.join(MODEL_ORDER)}")
    return MODEL_ORDER.index(name)
