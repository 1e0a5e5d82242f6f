"""Colours, colour tables and the Material theme of the app, light and dark.

One accent colour. Lanes are told apart by colour *and* dash (Okabe & Ito 2008, lightened for dark
surfaces). Colour tables are Kovesi's perceptually uniform ones (colorcet; Kovesi 2015,
arXiv:1509.03700): a diverging map whose centre is the page's background for signed fields, a
sequential one that starts at the background otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import colorcet
import numpy as np

FONT = '"Roboto", "Inter", "Helvetica Neue", "Segoe UI", "Liberation Sans", sans-serif'

PALETTES: Mapping[str, Mapping[str, str]] = {
    "light": {
        "ink": "#1c2430",
        "muted": "#5b6675",
        "faint": "#687281",
        "grid": "#e6eaef",
        "border": "#dfe4ea",
        "surface": "#ffffff",
        "page": "#f6f7f9",
        "accent": "#0b6aa8",
        "on_accent": "#ffffff",
        "good": "#0a7a55",
        "warn": "#9a5b00",
        "bad": "#b3261e",
        "positive": "#e65036",
        "negative": "#247ffe",
    },
    "dark": {
        "ink": "#e7ebf0",
        "muted": "#a3aebb",
        "faint": "#7f8a97",
        "grid": "#262d36",
        "border": "#2c343e",
        "surface": "#171c22",
        "page": "#101418",
        "accent": "#62b5e8",
        "on_accent": "#06202f",
        "good": "#4cc596",
        "warn": "#e5a94a",
        "bad": "#ff8a80",
        "positive": "#e64f41",
        "negative": "#1881fa",
    },
}

MODEL_ORDER = ("truth", "dgnet", "hnnpp", "node", "hnn", "srnn", "symplectic_form")
"""Every kind of lane; a model has the colour and the dash of its place wherever it is drawn;
further lanes of it have shades of them (`looks`)."""

LANE_COLOURS: Mapping[str, tuple[str, ...]] = {
    "light": ("#1c2430", "#0b6aa8", "#d55e00", "#007a5a", "#a8518a", "#8a6d00", "#4a5568"),
    "dark": ("#e7ebf0", "#62b5e8", "#ff9a4d", "#3fc79a", "#e39ac8", "#e0c341", "#b4bfcc"),
}
LANE_DASHES: tuple[list[int], ...] = (
    [],
    [8, 3],
    [8, 3, 2, 3],
    [3, 3],
    [12, 3, 3, 3],
    [5, 2],
    [2, 2],
)


_TABLES = {
    ("diverging", "light"): "CET_D9",
    ("diverging", "dark"): "CET_D4",
    ("sequential", "light"): "CET_L17",
    ("sequential", "dark"): "CET_CBL2",
}


def mode(dark: bool) -> str:
    """Key of the palettes: "dark" or "light"."""
    return "dark" if dark else "light"


def colour_table(scale: str, dark: bool) -> bytes:
    """256 RGBA colours of the "diverging" or "sequential" map, 1024 bytes."""
    if scale not in ("diverging", "sequential"):
        raise ValueError(f"scale={scale!r}: use diverging or sequential")
    colours = colorcet.palette[_TABLES[scale, mode(dark)]]
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours], np.uint8)
    rows = np.linspace(0, len(rgb) - 1, 256).round().astype(int)
    return np.column_stack([rgb[rows], np.full(256, 255, np.uint8)]).tobytes()


def ink_table(dark: bool) -> bytes:
    """256 RGBA colours from nothing to the ink of the page, 1024 bytes."""
    ink = PALETTES[mode(dark)]["ink"]
    table = np.empty((256, 4), np.uint8)
    table[:, :3] = [int(ink[i : i + 2], 16) for i in (1, 3, 5)]
    table[:, 3] = np.arange(256)
    return table.tobytes()


REDUCED = "@media (prefers-reduced-motion: reduce)"
"""Where a person has asked their system for less motion."""
STILL: Mapping[str, Any] = {
    REDUCED: {"transition": "none !important", "animation": "none !important"}
}
MOVING: Mapping[str, str] = {
    "MuiBackdrop": "root",
    "MuiButtonBase": "root",
    "MuiInputLabel": "root",
    "MuiPopover": "paper",
    "MuiTabs": "indicator",
    "MuiTooltip": "tooltip",
}
"""Parts of Material that slide, grow or fade, and their slots."""


def _material(name: str) -> dict[str, Any]:
    p = PALETTES[name]
    return {
        "palette": {
            "primary": {"main": p["accent"], "contrastText": p["on_accent"]},
            "background": {"default": p["page"], "paper": p["surface"]},
            "text": {"primary": p["ink"], "secondary": p["muted"]},
            "divider": p["border"],
        },
        "typography": {
            "fontFamily": FONT,
            "button": {"textTransform": "none", "fontWeight": 600},
            "h3": {"fontSize": "1.05rem", "fontWeight": 600, "letterSpacing": "0.01em"},
        },
        "shape": {"borderRadius": 8},
        "components": {
            "MuiFormControlLabel": {"styleOverrides": {"label": {"fontSize": "13px"}}},
            "MuiDrawer": {  # on a phone it is no part of the page's frame
                "styleOverrides": {"paper": {"backgroundImage": "none", **STILL}}
            },
            "MuiTouchRipple": {"styleOverrides": {"root": {REDUCED: {"display": "none"}}}},
            **{part: {"styleOverrides": {slot: STILL}} for part, slot in MOVING.items()},
        },
    }


def material_theme() -> dict[str, Any]:
    """`theme_config` of the page: one accent, neutral surfaces, sentence-case buttons."""
    return {name: _material(name) for name in PALETTES}


PAGE_CSS = "\n".join(
    f".mui-{name} {{ " + " ".join(f"--ddg-{k}: {v};" for k, v in p.items()) + " }"
    for name, p in PALETTES.items()
)
"""The palettes as CSS variables, for everything below the page's frame."""

PAGE_SX: Mapping[str, Any] = {
    "& .MuiAppBar-root": {
        "backgroundColor": "background.paper",
        "backgroundImage": "none",
        "color": "text.primary",
        "boxShadow": "none",
        "borderBottom": "1px solid",
        "borderColor": "divider",
    },
    "& .MuiAppBar-root .title": {"color": "text.primary"},
    "& .sidebar": {"backgroundColor": "background.paper"},
    "& .main": {"backgroundColor": "background.default", **STILL},
}
"""Style of the page's frame: header, drawer and main area on quiet neutral surfaces."""
