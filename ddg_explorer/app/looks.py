"""How lanes are told apart: a model has its colour and dash, further lanes of it shades of them.

A shade has the hue of its colour in OKLab (Ottosson 2020, bottosson.github.io/posts/oklab) and
another lightness, within what stands out from the page on one side and from the truth's ink on the
other. Each further one lies where it is farthest from those before; its dash has the rhythm of the
first, with longer dashes or wider gaps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from ddg_explorer.app.theme import LANE_COLOURS, LANE_DASHES, MODEL_ORDER, mode

LIGHTNESS: Mapping[str, tuple[float, float]] = {"light": (0.38, 0.655), "dark": (0.6, 0.87)}
"""Bounds of the shades: 3 : 1 at least to the cards, and apart from the ink."""
UNBROKEN = [10, 0]
"""The dash of a line without one."""
WIDER, LEVELS = 4, 65
"""Pixels that a gap grows by; lightnesses, and degrees of vividness, that are tried for a shade."""

_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OPPONENTS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@dataclass(frozen=True)
class Look:
    """Of a lane: the place of its model in `MODEL_ORDER`, and how many lanes before it show it."""

    place: int
    turn: int = 0

    def colour(self, dark: bool) -> str:
        """The lane's colour, "#rrggbb"."""
        own = LANE_COLOURS[mode(dark)][self.place]
        return shades(own, LIGHTNESS[mode(dark)])[self.turn]

    @property
    def dash(self) -> list[int]:
        """Pixels of dashes and gaps in turn; [] for an unbroken line."""
        if not self.turn:
            return LANE_DASHES[self.place]
        longer, wider = 1 + self.turn // 2, WIDER * (self.turn % 2)
        pattern = LANE_DASHES[self.place] or UNBROKEN
        return [x + wider if i % 2 else longer * x for i, x in enumerate(pattern)]

    def swatch(self, dark: bool) -> str:
        """CSS background that draws colour and dash along x."""
        colour, dash = self.colour(dark), self.dash
        if not dash:
            return colour
        ends = [sum(dash[:i]) for i in range(len(dash) + 1)]
        stops = [
            f"{'transparent' if i % 2 else colour} {start}px {end}px"
            for i, (start, end) in enumerate(pairwise(ends))
        ]
        return f"repeating-linear-gradient(90deg, {', '.join(stops)})"


def lane_looks(models: Sequence[str]) -> list[Look]:
    """Of every lane, from the keys of their models."""
    return [
        Look(MODEL_ORDER.index(model), list(models[:lane]).count(model))
        for lane, model in enumerate(models)
    ]


def mixed(colour: str, other: str, share: float) -> str:
    """The colour that lies `share` of the way to another, as `mixed` of js/draw.js."""
    start, end = _channels(colour), _channels(other)
    return _hex(start + (end - start) * share)


@cache
def shades(colour: str, bounds: tuple[float, float], count: int = 6) -> tuple[str, ...]:
    """The colour, and shades of it whose lightness lies within bounds."""
    own = _oklab(colour)
    levels = np.linspace(*bounds, LEVELS)
    chosen = [float(own[0])]
    for _ in range(count - 1):
        gaps = np.abs(levels[:, None] - chosen).min(1)
        chosen.append(float(levels[gaps.argmax()]))
    return (colour, *(_shade(own, level) for level in chosen[1:]))


def _shade(lab: np.ndarray, lightness: float) -> str:
    """The colour of that lightness, of the same hue, as vivid as a screen can show it."""
    tried = (_rgb(np.array([lightness, *(lab[1:] * v)])) for v in np.linspace(1, 0, LEVELS))
    return _hex(255 * next(rgb for rgb in tried if rgb.min() >= 0 and rgb.max() <= 1))


def _oklab(colour: str) -> np.ndarray:
    c = _channels(colour) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return _OPPONENTS @ np.cbrt(_CONES @ linear)


def _rgb(lab: np.ndarray) -> np.ndarray:
    """Red, green and blue, in [0, 1] where a screen can show them."""
    linear = np.linalg.solve(_CONES, np.linalg.solve(_OPPONENTS, lab) ** 3)
    size = np.abs(linear)
    bright = 1.055 * size ** (1 / 2.4) - 0.055
    return np.sign(linear) * np.where(size <= 0.0031308, 12.92 * size, bright)


def _channels(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float)


def _hex(channels: np.ndarray) -> str:
    """Of numbers up to 255, "#rrggbb"."""
    return "#" + bytes(np.floor(channels + 0.5).astype(np.uint8)).hex()
