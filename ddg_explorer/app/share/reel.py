"""What a lane has shown, as plain arrays, and its drawing as an image.

    field    (T, ny, nx), coloured by the table         profile  (T, C, n), curves over x
    phase    (T, d), trails over the contours of H

Drawn with Pillow at twice the size and scaled down, so that thin lines are smooth.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ddg_explorer.app.looks import mixed

SCALE = 2
TILE = (320, 240)
"""Width and height of a lane's picture in pixels."""
HEAD = 30
MARGIN = 12
SWATCH = 22
"""Pixels of the line that shows a lane's colour and dash."""
TRAIL = 400


@dataclass(frozen=True)
class Reel:
    """One lane's history.

    Attributes
    ----------
    title, colour, dash
        Of the lane; `dash` has the pixels of dashes and gaps in turn, nothing for an unbroken line.
    spec
        `Picture.spec`.
    times, values
        (T,) and one array a frame as in the module's text, oldest first.
    limits
        Of colour, or of the vertical axis.
    """

    title: str
    colour: str
    spec: dict[str, Any]
    times: np.ndarray
    values: np.ndarray
    limits: tuple[float, float]
    dash: Sequence[int] = ()

    def at(self, t: float) -> int:
        """Index of the newest frame that is not later than t, at least 0."""
        return max(0, int(np.searchsorted(self.times, t * (1 + 1e-12), side="right")) - 1)


def compose(reels: Sequence[Reel], t: float, table: bytes, palette: dict[str, str]) -> np.ndarray:
    """All lanes at time t side by side, `(height, width, 3)` uint8; both sides are even."""
    columns = min(len(reels), 3)
    rows = -(-len(reels) // columns)
    tile = (TILE[0] + MARGIN, HEAD + TILE[1] + MARGIN)
    size = (columns * tile[0] + MARGIN, rows * tile[1] + MARGIN)
    sheet = Image.new("RGB", (SCALE * size[0], SCALE * size[1]), palette["surface"])
    for index, reel in enumerate(reels):
        left = SCALE * (MARGIN + index % columns * tile[0])
        top = SCALE * (MARGIN + index // columns * tile[1])
        _head(sheet, reel, t, (left, top), palette)
        sheet.paste(drawn(reel, t, table, palette), (left, top + SCALE * HEAD))
    return np.asarray(sheet.reduce(SCALE))


def picture_file(reels: Sequence[Reel], table: bytes, palette: dict[str, str]) -> bytes:
    """All lanes' newest frames as a PNG."""
    buffer = io.BytesIO()
    now = max(float(reel.times[-1]) for reel in reels)
    Image.fromarray(compose(reels, now, table, palette)).save(buffer, format="PNG")
    return buffer.getvalue()


def _head(
    sheet: Image.Image, reel: Reel, t: float, at: tuple[int, int], palette: dict[str, str]
) -> None:
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15 * SCALE)
    left, top = at
    middle = top + SCALE * HEAD // 2
    for start, end in dashes(reel.dash, SWATCH):
        ends = (left + SCALE * start, middle - SCALE, left + SCALE * end - 1, middle + SCALE)
        draw.rectangle(ends, fill=reel.colour)
    right, clock = left + SCALE * TILE[0], f"t = {reel.times[reel.at(t)]:.4g}"
    draw.text((right, middle), clock, palette["muted"], font, anchor="rm")
    left += SCALE * (SWATCH + 8)
    room = right - left - draw.textlength(clock, font) - SCALE * MARGIN
    draw.text((left, middle), _shortened(reel.title, font, room), palette["ink"], font, anchor="lm")


def dashes(pattern: Sequence[int], length: int) -> list[tuple[int, int]]:
    """Start and end of the dashes of a line of that length."""
    if not pattern:
        return [(0, length)]
    ends = np.cumsum([0, *list(pattern) * length])
    pairs = zip(ends[:-1:2].tolist(), ends[1::2].tolist(), strict=True)
    return [(start, min(end, length)) for start, end in pairs if start < length]


def _shortened(text: str, font: Any, room: float) -> str:
    """The text, or as much of it as there is room for."""
    if font.getlength(text) <= room:
        return text
    kept = len(text)
    while kept and font.getlength(text[:kept].rstrip() + "…") > room:
        kept -= 1
    return text[:kept].rstrip() + "…"


def drawn(
    reel: Reel, t: float, table: bytes, palette: dict[str, str], tile: tuple[int, int] = TILE
) -> Image.Image:
    """The lane at time t, `SCALE` times as large as the tile; a field keeps its proportions."""
    index = reel.at(t)
    if reel.spec["kind"] == "field":
        return _field(reel.values[index], reel.limits, table, tile)
    image = Image.new("RGB", (SCALE * tile[0], SCALE * tile[1]), palette["surface"])
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, image.width - 1, image.height - 1), outline=palette["border"])
    if reel.spec["kind"] == "profile":
        _profile(draw, image.size, reel, index, palette)
    else:
        _phase(draw, image.size, reel, index, palette)
    return image


def _field(
    values: np.ndarray, limits: tuple[float, float], table: bytes, tile: tuple[int, int]
) -> Image.Image:
    low, high = limits
    levels = np.clip(np.rint((values - low) * (255 / (high - low))), 0, 255).astype(np.uint8)
    colours = np.frombuffer(table, np.uint8).reshape(256, 4)[:, :3]
    image = Image.fromarray(colours[levels])
    side = min(SCALE * tile[0] / image.width, SCALE * tile[1] / image.height)
    size = (round(image.width * side), round(image.height * side))
    return image.resize(size, Image.Resampling.NEAREST if side > 2 else Image.Resampling.BOX)


def _profile(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    reel: Reel,
    index: int,
    palette: dict[str, str],
) -> None:
    curves, (low, high) = reel.values[index], reel.limits
    x = np.linspace(0, size[0], curves.shape[-1] + 1)
    colours = [reel.colour, *[palette["muted"]] * (len(curves) - 1)]
    for values, colour in reversed(list(zip(curves, colours, strict=True))):
        closed = np.append(values, values[0])
        y = size[1] * (1 - (closed - low) / (high - low))
        draw.line(_points(x, y), fill=colour, width=2 * SCALE, joint="curve")


def _phase(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    reel: Reel,
    index: int,
    palette: dict[str, str],
) -> None:
    x0, x1, y0, y1 = window(reel.spec, size)

    def place(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
        return _points(size[0] * (x - x0) / (x1 - x0), size[1] * (1 - (y - y0) / (y1 - y0)))

    for lines in reel.spec["contours"]:
        for line in lines:
            flat = np.asarray(line)
            draw.line(place(flat[::2], flat[1::2]), fill=palette["border"], width=SCALE)
    states = reel.values[max(0, index - TRAIL) : index + 1]
    bodies = reel.spec["curves"]
    for body, (a, b) in enumerate(bodies):
        colour = mixed(reel.colour, palette["surface"], body / (len(bodies) + 1))
        jumps = np.flatnonzero(np.abs(np.diff(states[:, a])) > (x1 - x0) / 2) + 1
        for part in np.split(states, jumps):
            if len(part) > 1:
                draw.line(place(part[:, a], part[:, b]), fill=colour, width=2 * SCALE)
        (x, y), r = place(states[-1:, a], states[-1:, b])[0], 5 * SCALE
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def window(spec: dict[str, Any], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """What the axes span, x₀, x₁, y₀, y₁; round circles where it says `equal`."""
    x0, x1, y0, y1 = spec["window"]
    if not spec.get("equal"):
        return x0, x1, y0, y1
    half, aspect = (y1 - y0) / 2, size[0] / size[1]
    if aspect >= 1:
        return -half * aspect, half * aspect, y0, y1
    return x0, x1, -half / aspect, half / aspect


def _points(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    return list(zip(x.tolist(), y.tolist(), strict=True))
